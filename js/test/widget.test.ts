import { afterEach, beforeEach, expect, test, vi } from "vitest";
import widget from "../src/widget";
import { completed, FakeSocket, fakeWorld, jupyterPage, leaveWorld, running } from "./fakeSocket";

class Model {
  readonly listeners = new Map<string, Set<() => void>>();
  constructor(readonly traits: Record<string, unknown>) {}
  get(name: string): unknown {
    return this.traits[name];
  }
  on(event: string, run: () => void): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(run));
  }
  off(event: string, run: () => void): void {
    this.listeners.get(event)?.delete(run);
  }
  change(name: string, value: unknown): void {
    this.traits[name] = value;
    for (const run of this.listeners.get(`change:${name}`) ?? []) run();
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
  const model = new Model({ job_ids: ["job-1"], states: {}, relay: false, url: "", ...traits });
  const end = widget.render({ model, el, ...(signal ? { signal } : {}) });
  await settled();
  return { model, end };
}

test("in a page with a server the widget asks that, and the kernel is not needed", async () => {
  jupyterPage();
  await render({ states: { "job-1": running() } });
  expect(el.textContent).toContain("Connecting");

  FakeSocket.last.accept({ "job-1": completed() });
  vi.advanceTimersByTime(20);

  expect(el.textContent).toContain("Completed");
});

test("a relay is fed by the kernel, and opens no socket", async () => {
  jupyterPage();
  const { model } = await render({ relay: true });
  expect(el.textContent).toContain("Waiting for the job");

  model.change("states", { "job-1": running() });

  expect(el.textContent).toContain("Running");
  expect(FakeSocket.all).toEqual([]);
});

test("a relay's saved state is shown before the kernel says more", async () => {
  await render({ relay: true, states: { "job-1": running() } });

  expect(el.textContent).toContain("42%");
});

test("without a server and without a relay the saved state is all there is", async () => {
  const { model } = await render({ states: { "job-1": running() } });
  expect(el.textContent).toContain("Running when saved");

  model.change("states", { "job-1": completed() });

  expect(el.textContent).toContain("Completed");
});

test("jobs can be added, and the kernel can take over", async () => {
  const { model } = await render({});

  model.change("job_ids", ["job-1", "job-2"]);
  expect(el.querySelectorAll(".jobprogress-card")).toHaveLength(2);
  model.change("relay", true);
  await settled();
  model.change("states", { "job-2": running({ job_id: "job-2" }) });

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
