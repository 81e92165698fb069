import type * as Bar from "./bar";
import type { Board } from "./board";
import type { Live } from "./lazy";
import type { LuminoWidget, LuminoWidgetClass } from "./lumino";
import type { States } from "./protocol";

const MIME_TYPE = "application/vnd.jobprogress.v1+json";

/** The part of JupyterLab's `IRenderMime.IMimeModel` that is used here. */
export interface MimeModel {
  readonly data: Readonly<Record<string, unknown>>;
  setData(options: { readonly data: Readonly<Record<string, unknown>> }): void;
}

export interface MimeRenderer extends LuminoWidget {
  renderModel(model: MimeModel): Promise<void>;
}

/** What draws: loaded when there is something to draw, and not whenever JupyterLab starts. */
interface Drawn {
  readonly bar: typeof Bar;
  readonly live: Live;
  readonly board: Board;
}

/** Make the plugin that JupyterLab registers, with the host's own Widget class. */
export function makePlugin(Widget: LuminoWidgetClass, load: () => Promise<typeof Bar>) {
  class Renderer extends Widget implements MimeRenderer {
    #model: MimeModel | null = null;
    #drawing: Promise<Drawn> | null = null;
    #drawn: Drawn | null = null;
    #frozen = "";

    constructor() {
      super();
      this.addClass("jobprogress-output");
    }

    /** Called again with every change of the output, also with our own: the running view goes on. */
    async renderModel(model: MimeModel): Promise<void> {
      this.#model = model;
      this.#drawing ??= this.#draw();
      const { bar, board } = await this.#drawing;
      if (this.isDisposed || this.#model !== model) return;
      const { jobIds, states, table } = bar.readBundle(model.data[MIME_TYPE]);
      // What somebody opened below a table is not in the output, and stays.
      if (table === null || !board.el.hasChildNodes()) board.show(jobIds, states, table);
      this.#freeze();
    }

    override dispose(): void {
      if (this.isDisposed) return;
      this.#model = null;
      this.#drawn?.board.dispose();
      super.dispose();
    }

    async #draw(): Promise<Drawn> {
      try {
        const bar = await load();
        const live = await bar.loadLive();
        const doc = this.node.ownerDocument;
        const board = new bar.Board(doc, live.findSource(doc, ""), () => this.#freeze());
        this.node.append(board.el);
        this.#drawn = { bar, live, board };
        return this.#drawn;
      } catch (error) {
        this.#drawing = null; // the next call tries again
        this.node.textContent = `The bar could not be loaded: ${error}`;
        throw error;
      }
    }

    /** Leave the end of the jobs in the output, so that the file shows it. Each call marks the notebook as changed. */
    #freeze(): void {
      const model = this.#model;
      if (model === null || !this.#drawn?.board.ended) return;
      const { bar, live, board } = this.#drawn;
      const { jobIds, states: saved, table } = bar.readBundle(model.data[MIME_TYPE]);
      if (table !== null) return;
      const states = board.states();
      const ending = write(states);
      // `setData` calls `renderModel`, which comes back here: an ending is written once, whatever the model does with it.
      if (ending === this.#frozen || ending === write(bar.keptOf(saved, jobIds))) return;
      this.#frozen = ending;
      const { html, text } = live.snapshot(this.node.ownerDocument, board.cards());
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

// Equal states are equal as text. A notebook file has its keys sorted, so that what was read from one must not differ
// by their order: it would be marked as changed whenever it is opened.
function write(states: States): string {
  return JSON.stringify(states, (_, value: unknown) =>
    typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
