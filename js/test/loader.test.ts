import { afterEach, beforeEach, expect, test, vi } from "vitest";
import loader from "../src/loader";

/** Code that records on the page how often it runs, and what it is asked to do. */
const BAR = `
  globalThis.ran = (globalThis.ran ?? 0) + 1;
  export const shared = "of the bar";
  export function provide(bundles) { globalThis.bundles = bundles; }
  export default {
    initialize: ({ model }) => globalThis.initialized.push(model.get("job_ids")),
    render: ({ el }) => { el.textContent = "drawn"; return () => { el.textContent = "ended"; }; },
  };`;
const LIVE = `import { shared } from "./bar.js"; export const bundle = { from: shared };`;

interface Page {
  ran?: number;
  bundles?: { live(): Promise<unknown>; more(): Promise<unknown> };
  initialized?: unknown[];
}
const page = globalThis as Page;
const made: string[] = [];

beforeEach(() => {
  page.ran = 0;
  page.initialized = [];
  made.length = 0;
  class TextBlob {
    readonly text: string;
    constructor(parts: readonly string[]) {
      this.text = parts.join("");
    }
  }
  vi.stubGlobal("Blob", TextBlob);
  // Node imports no addresses of blobs; those of data are the same to a module.
  vi.spyOn(URL, "createObjectURL").mockImplementation((blob) => {
    made.push((blob as unknown as TextBlob).text);
    return `data:text/javascript,${encodeURIComponent((blob as unknown as TextBlob).text)}`;
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  Reflect.deleteProperty(globalThis, Symbol.for("jupyter_jobprogress.code"));
});

function view(bar: string, signal?: AbortSignal) {
  const code = new Map([
    ["bar", bar],
    ["live", LIVE],
    ["more", "throw new Error('broken')"],
  ]);
  const model = {
    get: (name: string) => ({ code: "model-1", job_ids: ["job-1"] })[name],
    widget_manager: { get_model: async (id: string) => (id === "model-1" ? code : Promise.reject(new Error("gone"))) },
  };
  return { model, el: document.createElement("div"), ...(signal ? { signal } : {}) };
}

test("the code of all bars runs once a page, and the other bundles share what is in it", async () => {
  const [one, other] = [view(`${BAR}//1`), view(`${BAR}//1`)];

  const end = await loader.render(one);
  await loader.render(other);

  expect(page.ran).toBe(1);
  expect(made).toHaveLength(1);
  expect([one.el.textContent, other.el.textContent]).toEqual(["drawn", "drawn"]);
  expect(await page.bundles?.live()).toEqual({ from: "of the bar" });
  end?.();
  expect(one.el.textContent).toBe("ended");
});

test("kernels with different releases run each its own", async () => {
  await loader.render(view(`${BAR}//2`));
  await loader.render(view(`${BAR}//3`));

  expect(page.ran).toBe(2);
});

test("a model is initialized without being waited for", async () => {
  expect(loader.initialize(view(`${BAR}//4`))).toBeUndefined();

  await vi.waitFor(() => expect(page.initialized).toEqual([["job-1"]]));
});

test("a view that is gone before its code came is not drawn", async () => {
  const gone = new AbortController();
  gone.abort();
  const late = view(`${BAR}//5`, gone.signal);

  expect(await loader.render(late)).toBeUndefined();
  expect(late.el.textContent).toBe("");
});

test("what cannot be loaded is said in place of the bar", async () => {
  const broken = view("throw new Error('no such luck')");

  await loader.render(broken);

  expect(broken.el.textContent).toBe("The bar of job-1 could not be drawn: Error: no such luck");
});
