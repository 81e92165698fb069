/** The anywidget: where no renderer of ours is installed, and where the kernel feeds the bar. */

import { Board } from "./board";
import type { Source } from "./job";
import { loadLive } from "./lazy";
import { isObject, readFilter, readJobIds, readStates } from "./protocol";

interface Model {
  get(name: string): unknown;
  on(event: string, run: (content?: unknown) => void): void;
  off(event: string, run: (content?: unknown) => void): void;
  /** To the kernel, without a trace in the file. Does nothing where there is none. */
  send(content: object): void;
}

interface View {
  readonly model: Model;
  readonly el: HTMLElement;
  /** Given by anywidget 0.10 and later; before that, only the answered function ends a view. */
  readonly signal?: AbortSignal;
}

/** Choose what brings the states, and tell the kernel whether it has to. */
async function sourceOf(model: Model, doc: Document): Promise<Source> {
  const url = model.get("url");
  try {
    const live = await loadLive();
    const source = await live.chooseSource(doc, typeof url === "string" ? url : "", model.get("relay") === true);
    model.send({ transport: source.kind === "server" ? "server" : "kernel" });
    return source;
  } catch {
    return { kind: "saved" }; // what was saved is better than nothing
  }
}

/** Called once a model, also where no view is made since our renderer draws the output. */
function initialize({ model }: { readonly model: Model }): void {
  void sourceOf(model, document);
}

function render({ model, el, signal }: View): () => void {
  const doc = el.ownerDocument;
  let board: Board | null = null;
  let generation = 0;
  const show = () =>
    board?.show(readJobIds(model.get("job_ids")), readStates(model.get("saved")), readFilter(model.get("table")));
  const rebuild = async () => {
    const mine = ++generation;
    const source = await sourceOf(model, doc);
    if (mine !== generation) return;
    board?.dispose();
    board = new Board(doc, source);
    el.append(board.el);
    show();
  };
  const hear = (content: unknown) => {
    if (board?.source.kind === "relay" && isObject(content)) board.relay(readStates(content.states));
  };
  const listeners: ReadonlyArray<readonly [string, (content?: unknown) => void]> = [
    ["change:job_ids", show],
    ["change:saved", show],
    ["change:relay", rebuild],
    ["change:url", rebuild],
    ["msg:custom", hear],
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

export default { initialize, render };
