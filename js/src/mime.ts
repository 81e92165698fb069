import { Board } from "./board";
import type { Source } from "./job";
import { findServer } from "./location";
import type { LuminoWidget, LuminoWidgetClass } from "./lumino";
import { MIME_TYPE, readBundle, readStates, type States } from "./protocol";
import { connectionTo } from "./registry";
import { snapshot } from "./snapshot";

/** The part of JupyterLab's `IRenderMime.IMimeModel` that is used here. */
export interface MimeModel {
  readonly data: Readonly<Record<string, unknown>>;
  setData(options: { readonly data: Readonly<Record<string, unknown>> }): void;
}

export interface MimeRenderer extends LuminoWidget {
  renderModel(model: MimeModel): Promise<void>;
}

function sourceOf(doc: Document): Source {
  const server = findServer(doc, location);
  return server === null ? { kind: "saved" } : { kind: "server", connection: connectionTo(server) };
}

/** Make the plugin that JupyterLab registers, with the host's own Widget class. */
export function makePlugin(Widget: LuminoWidgetClass) {
  class Renderer extends Widget implements MimeRenderer {
    readonly #board: Board;
    #model: MimeModel | null = null;
    #frozen = "";

    constructor() {
      super();
      this.addClass("jobprogress-output");
      const doc = this.node.ownerDocument;
      this.#board = new Board(doc, sourceOf(doc), () => this.#freeze());
      this.node.append(this.#board.el);
    }

    /** Called again with every change of the output, also with our own: the running view goes on. */
    async renderModel(model: MimeModel): Promise<void> {
      this.#model = model;
      const { jobIds, states } = readBundle(model.data[MIME_TYPE]);
      this.#board.show(jobIds, states);
      this.#freeze();
    }

    override dispose(): void {
      if (this.isDisposed) return;
      this.#model = null;
      this.#board.dispose();
      super.dispose();
    }

    /** Leave the end of the jobs in the output, so that the file shows it. Each call marks the notebook as changed. */
    #freeze(): void {
      const model = this.#model;
      if (model === null || !this.#board.ended) return;
      const { jobIds, states: saved } = readBundle(model.data[MIME_TYPE]);
      const states = this.#board.states();
      const ending = write(states);
      // `setData` calls `renderModel`, which comes back here: an ending is written once, whatever the model does with it.
      if (ending === this.#frozen || ending === write(only(saved, jobIds))) return;
      this.#frozen = ending;
      const { html, text } = snapshot(this.node.ownerDocument, this.#board.cards());
      model.setData({
        data: { ...model.data, [MIME_TYPE]: { job_ids: jobIds, states }, "text/html": html, "text/plain": text },
      });
    }
  }

  return {
    id: "jupyter_jobprogress:mime",
    rendererFactory: {
      // Both are needed: a rank below the widget view's -10 for trusted notebooks, `safe` for those that are not.
      safe: true,
      defaultRank: -20,
      mimeTypes: [MIME_TYPE],
      createRenderer: (): MimeRenderer => new Renderer(),
    },
    dataType: "json",
  };
}

function only(states: States, jobIds: readonly string[]): States {
  return readStates(Object.fromEntries(jobIds.map((jobId) => [jobId, states[jobId]])));
}

// Equal states are equal as text. A notebook file has its keys sorted, so that what was read from one must not differ
// by their order: it would be marked as changed whenever it is opened.
function write(states: States): string {
  return JSON.stringify(states, (_, value: unknown) =>
    typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
