import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as bar from "../src/bar";
import type { LuminoWidget } from "../src/lumino";
import { type MimeModel, type MimeRenderer, makePlugin } from "../src/mime";
import type { State } from "../src/protocol";
import { completed, FakeSocket, fakeWorld, jupyterPage, leaveWorld, NOW_US, running } from "./fakeSocket";

class Widget implements LuminoWidget {
  readonly node = document.createElement("div");
  isDisposed = false;
  addClass(name: string): void {
    this.node.classList.add(name);
  }
  dispose(): void {
    this.isDisposed = true;
  }
}

/** An output model that calls its renderer again with every change, as JupyterLab's does. */
class Model implements MimeModel {
  data: Readonly<Record<string, unknown>>;
  writes = 0;
  constructor(
    readonly renderer: MimeRenderer,
    states: Record<string, State>,
    jobIds = ["job-1"],
  ) {
    this.data = { "text/plain": "old", "application/x-other": 1, [MIME_TYPE]: { job_ids: jobIds, states } };
  }
  setData({ data }: { readonly data: Readonly<Record<string, unknown>> }): void {
    this.writes++;
    this.data = data;
    void this.renderer.renderModel(this);
  }
}

const MIME_TYPE = "application/vnd.jobprogress.v1+json";
const plugin = makePlugin(Widget, async () => bar);
let renderer: MimeRenderer;

beforeEach(() => {
  fakeWorld();
  jupyterPage();
  renderer = plugin.rendererFactory.createRenderer();
  document.body.append(renderer.node);
});
afterEach(leaveWorld);

test("the factory has what outranks the widget view, trusted or not", () => {
  expect(plugin.rendererFactory).toMatchObject({ safe: true, defaultRank: -20, mimeTypes: [MIME_TYPE] });
});

test("the saved state is drawn at once, and marked until the server answers", async () => {
  await renderer.renderModel(new Model(renderer, { "job-1": running() }));
  expect(renderer.node.textContent).toContain("42%");
  expect(renderer.node.textContent).toContain("Connecting");

  FakeSocket.last.accept({ "job-1": running({ seq: NOW_US + 1, progress: 0.5 }) });
  vi.advanceTimersByTime(20);

  expect(renderer.node.textContent).toContain("50%");
  expect(renderer.node.textContent).toContain("Running");
});

test("a page without a server shows what was saved, and asks nobody", async () => {
  document.head.replaceChildren();
  renderer = plugin.rendererFactory.createRenderer();

  await renderer.renderModel(new Model(renderer, { "job-1": running() }));

  expect(renderer.node.textContent).toContain("Running when saved");
  expect(FakeSocket.all).toEqual([]);
});

test("rendering again keeps the running view and its subscription", async () => {
  const model = new Model(renderer, { "job-1": running() });
  await renderer.renderModel(model);
  FakeSocket.last.accept({ "job-1": running({ seq: NOW_US + 1, progress: 0.5 }) });
  const card = renderer.node.querySelector(".jobprogress-card");

  await renderer.renderModel(model);
  vi.advanceTimersByTime(20);

  expect(renderer.node.querySelector(".jobprogress-card")).toBe(card);
  expect(renderer.node.textContent).toContain("50%");
  expect(FakeSocket.last.commands("subscribe")).toHaveLength(1);
});

test("disposing drops the watch, twice as well as once", async () => {
  await renderer.renderModel(new Model(renderer, {}));
  FakeSocket.last.accept();

  renderer.dispose();
  renderer.dispose();

  expect(FakeSocket.last.commands("unsubscribe")).toHaveLength(1);
});

describe("freezing", () => {
  test("writes the end into the output once, beside what else is there", async () => {
    const model = new Model(renderer, { "job-1": running() });
    await renderer.renderModel(model);
    FakeSocket.last.accept({ "job-1": completed() });
    FakeSocket.last.say(completed());
    vi.advanceTimersByTime(5000);

    expect(model.writes).toBe(1);
    expect(model.data).toMatchObject({
      "application/x-other": 1,
      "text/plain": "job-1: Completed",
      [MIME_TYPE]: { job_ids: ["job-1"], states: { "job-1": completed() } },
    });
    expect(model.data["text/html"]).toContain("Completed");
  });

  test("leaves a notebook alone that has the end already", async () => {
    const model = new Model(renderer, { "job-1": completed() });
    await renderer.renderModel(model);
    FakeSocket.last.accept({ "job-1": completed() });

    expect(model.writes).toBe(0);
  });

  test("does not mind that a notebook file sorts its keys", async () => {
    const { seq: _, ...plain } = completed({ metrics: { b: 1, a: 2 } });
    const model = new Model(renderer, { "job-1": { ...plain, metrics: { a: 2, b: 1 } } });
    await renderer.renderModel(model);
    FakeSocket.last.accept({ "job-1": plain });

    expect(model.writes).toBe(0);
  });

  test("waits for the last job of the output", async () => {
    const model = new Model(renderer, {}, ["job-1", "job-2"]);
    await renderer.renderModel(model);
    FakeSocket.last.accept({ "job-1": completed() });
    expect(model.writes).toBe(0);

    FakeSocket.last.say(completed({ job_id: "job-2" }));

    expect(model.writes).toBe(1);
  });

  test("comes again after a new run, and only then", async () => {
    const model = new Model(renderer, {});
    await renderer.renderModel(model);
    FakeSocket.last.accept({ "job-1": completed() });

    FakeSocket.last.say(running({ seq: NOW_US + 5e6, run: NOW_US + 5e6 }));
    expect(model.writes).toBe(1);
    FakeSocket.last.say(completed({ seq: NOW_US + 6e6, run: NOW_US + 5e6 }));

    expect(model.writes).toBe(2);
  });

  test("does not try again where the model does not keep what it was given", async () => {
    const model = new Model(renderer, { "job-1": running() });
    model.setData = () => {
      model.writes++;
      void renderer.renderModel(model);
    };
    await renderer.renderModel(model);
    FakeSocket.last.accept({ "job-1": completed() });
    await renderer.renderModel(model);

    expect(model.writes).toBe(1);
  });

  test("happens in a hidden page, too", async () => {
    vi.stubGlobal("requestAnimationFrame", () => 1);
    const model = new Model(renderer, {});
    await renderer.renderModel(model);

    FakeSocket.last.accept({ "job-1": completed() });

    expect(model.writes).toBe(1);
  });
});
