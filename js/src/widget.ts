/** The anywidget: where no renderer of ours is installed, and where the kernel feeds the bar. */

import { Board } from "./board";
import { StoreClock } from "./clock";
import type { Source } from "./job";
import { loadLive } from "./lazy";
import { readFilter, readJobIds, readStates } from "./protocol";

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

async function sourceOf(model: Model, doc: Document): Promise<Source> {
  if (model.get("relay") === true) return { kind: "relay", clock: new StoreClock(() => performance.now()) };
  const url = model.get("url");
  try {
    return (await loadLive()).findSource(doc, typeof url === "string" ? url : "");
  } catch {
    return { kind: "saved" }; // what was saved is better than nothing
  }
}

function render({ model, el, signal }: View): () => void {
  const doc = el.ownerDocument;
  let board: Board | null = null;
  let generation = 0;
  const show = () =>
    board?.show(readJobIds(model.get("job_ids")), readStates(model.get("states")), readFilter(model.get("table")));
  const rebuild = async () => {
    const mine = ++generation;
    const source = await sourceOf(model, doc);
    if (mine !== generation) return;
    board?.dispose();
    board = new Board(doc, source);
    el.append(board.el);
    show();
  };
  const take = () => {
    if (board?.source.kind === "relay") board.relay(readStates(model.get("states")));
    else show();
  };
  const listeners: ReadonlyArray<readonly [string, () => void]> = [
    ["change:job_ids", show],
    ["change:states", take],
    ["change:relay", rebuild],
    ["change:url", rebuild],
  ];
  for (const [event, run] of listeners) model.on(event, run);
  void rebuild();

  const end = () => {
    generation++;
    for (const [event, run] of listeners) model.off(event, run);
    board?.dispose();
  };
  signal?.addEventListener("abort", end, { once: true });
  return end;
}

export default { render };
