/** The anywidget: where no renderer of ours is installed, and where the kernel feeds the bar. */

import { Board } from "./board";
import { StoreClock } from "./clock";
import type { Source } from "./job";
import { findServer } from "./location";
import { readJobIds, readStates } from "./protocol";
import { connectionTo } from "./registry";

interface Model {
  get(name: string): unknown;
  on(event: string, run: () => void): void;
  off(event: string, run: () => void): void;
}

interface View {
  readonly model: Model;
  readonly el: HTMLElement;
  /** Given by anywidget 0.10 and later; before that, only the answered function ends a view. */
  readonly signal?: AbortSignal;
}

function sourceOf(model: Model, doc: Document): Source {
  const url = model.get("url");
  const server = model.get("relay") === true ? null : findServer(doc, location, typeof url === "string" ? url : "");
  if (server !== null) return { kind: "server", connection: connectionTo(server) };
  return model.get("relay") === true
    ? { kind: "relay", clock: new StoreClock(() => performance.now()) }
    : { kind: "saved" };
}

function render({ model, el, signal }: View): () => void {
  const doc = el.ownerDocument;
  let board: Board;
  const show = () => board.show(readJobIds(model.get("job_ids")), readStates(model.get("states")));
  const rebuild = () => {
    board?.dispose();
    board = new Board(doc, sourceOf(model, doc));
    el.append(board.el);
    show();
  };
  const take = () => {
    const states = readStates(model.get("states"));
    if (board.source.kind === "relay") board.relay(states);
    else show();
  };
  const listeners: ReadonlyArray<readonly [string, () => void]> = [
    ["change:job_ids", show],
    ["change:states", take],
    ["change:relay", rebuild],
    ["change:url", rebuild],
  ];
  for (const [event, run] of listeners) model.on(event, run);
  rebuild();

  const end = () => {
    for (const [event, run] of listeners) model.off(event, run);
    board.dispose();
  };
  signal?.addEventListener("abort", end, { once: true });
  return end;
}

export default { render };
