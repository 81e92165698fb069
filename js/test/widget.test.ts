import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { State } from "../src/protocol";
import widget from "../src/widget";
import { completed, FakeSocket, fakeWorld, jupyterPage, leaveWorld, running } from "./fakeSocket";

type Run = (content?: unknown) => void;

class Model {
  readonly listeners = new Map<string, Set<Run>>();
  /** What the kernel was told. */
  readonly sent: object[] = [];
  constructor(readonly traits: Record<string, unknown>) {}
  get(name: string): unknown {
    return this.traits[name];
  }
  send(content: object): void {
    this.sent.push(content);
  }
  on(event: string, run: Run): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(run));
  }
  off(event: string, run: Run): void {
    this.listeners.get(event)?.delete(run);
  }
  change(name: string, value: unknown): void {
    this.traits[name] = value;
    for (const run of this.listeners.get(`change:${name}`) ?? []) run();
    vi.advanceTimersByTime(20);
  }
  /** The kernel says something. */
  hear(states: Record<string, State>): void {
    for (const run of this.listeners.get("msg:custom") ?? []) run({ states });
    vi.advanceTimersByTime(20);
  }
  get listening(): number {
    return [...this.listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }
}

let el: HTMLElement;

/** What the widget loads has come. */
const settled = () => vi.advanceTimersByTimeAsync(50);

beforeEach(() => {
  fakeWorld();
  el = document.createElement("div");
  document.body.append(el);
});
afterEach(leaveWorld);

async function render(traits: Record<string, unknown>, signal?: AbortSignal) {
  const model = new Model({ job_ids: ["job-1"], saved: {}, relay: false, url: "", ...traits });
  const end = widget.render({ model, el, ...(signal ? { signal } : {}) });
  await settled();
  return { model, end };
}

test("in a page with a server the widget asks that, and the kernel is not needed", async () => {
  jupyterPage();
  await render({ saved: { "job-1": running() } });
  expect(el.textContent).toContain("Connecting");

  FakeSocket.last.accept({ "job-1": completed() });
  vi.advanceTimersByTime(20);

  expect(el.textContent).toContain("Completed");
});

test("a relay is fed by the kernel, and opens no socket", async () => {
  jupyterPage();
  const { model } = await render({ relay: true });
  expect(el.textContent).toContain("Waiting for the job");

  model.hear({ "job-1": running() });

  expect(el.querySelector(".jobprogress-word")?.textContent).toBe("Running");
  expect(FakeSocket.all).toEqual([]);
  expect(model.sent).toEqual([{ transport: "kernel" }]);
});

test("a relay's saved state is shown before the kernel says more", async () => {
  await render({ relay: true, saved: { "job-1": running() } });

  expect(el.textContent).toContain("42%");
});

test("without a server the kernel is asked, and until it answers the saved state is all there is", async () => {
  const { model } = await render({ saved: { "job-1": running() } });
  expect(el.textContent).toContain("Running when saved");

  model.change("saved", { "job-1": running({ seq: (running().seq ?? 0) + 1, progress: 0.5 }) });
  expect(el.textContent).toContain("Running when saved");
  expect(el.textContent).toContain("50%");
  model.hear({ "job-1": completed() });

  expect(el.textContent).toContain("Completed");
  expect(model.sent).toEqual([{ transport: "kernel" }]);
});

test.each([
  ["no such path", () => Promise.resolve(new Response("", { status: 404 })), "/voila/", "kernel"],
  ["a login page", () => Promise.resolve(new Response("<html>")), "/login/", "kernel"],
  ["a server that is away", () => Promise.reject(new TypeError("Failed to fetch")), "/away/", "server"],
  ["a server that lets nobody in", () => Promise.resolve(new Response("", { status: 403 })), "/closed/", "server"],
])("a server that answers with %s", async (_, answer, baseUrl, transport) => {
  vi.stubGlobal("fetch", answer);
  jupyterPage(baseUrl);

  const { model } = await render({});

  expect(model.sent).toEqual([{ transport }]);
  expect(FakeSocket.all).toHaveLength(transport === "server" ? 1 : 0);
});

test("a model that is not shown tells the kernel what its page has", async () => {
  jupyterPage();
  const model = new Model({ job_ids: ["job-1"], saved: {}, relay: false });

  widget.initialize({ model });
  await settled();

  expect(model.sent).toEqual([{ transport: "server" }]);
  expect(FakeSocket.all).toEqual([]);
});

test("jobs can be added, and the kernel can take over", async () => {
  const { model } = await render({});

  model.change("job_ids", ["job-1", "job-2"]);
  expect(el.querySelectorAll(".jobprogress-card")).toHaveLength(2);
  model.change("relay", true);
  await settled();
  model.hear({ "job-2": running({ job_id: "job-2" }) });

  expect(el.querySelectorAll(".jobprogress-card")).toHaveLength(2);
  expect(el.textContent).toContain("Running");
});

test("the answered function ends the view, for hosts without a signal", async () => {
  jupyterPage();
  const { model, end } = await render({});
  FakeSocket.last.accept();

  end();

  expect(model.listening).toBe(0);
  expect(FakeSocket.last.commands("unsubscribe")).toHaveLength(1);
  expect(el.children).toHaveLength(0);
});

test("the signal ends it, too, and both together do no harm", async () => {
  jupyterPage();
  const abort = new AbortController();
  const { model, end } = await render({}, abort.signal);
  FakeSocket.last.accept();

  abort.abort();
  end();

  expect(model.listening).toBe(0);
  expect(FakeSocket.last.commands("unsubscribe")).toHaveLength(1);
});
