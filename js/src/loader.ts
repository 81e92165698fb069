/**
 * What every widget stores as its own code: little, since a notebook keeps it once for each bar.
 *
 * The rest is a model of its own that all bars of a kernel share (`widget/code.py`), and on the page it is run once.
 */

interface Model {
  get(name: string): unknown;
  readonly widget_manager: { get_model(id: string): Promise<{ get(name: string): unknown }> };
}

interface View {
  readonly model: Model;
  readonly el: HTMLElement;
  readonly signal?: AbortSignal;
}

type Module = Readonly<Record<string, unknown>>;

interface Bar {
  provide(bundles: Readonly<Record<"live" | "more", () => Promise<unknown>>>): void;
  readonly default: { initialize(view: Pick<View, "model">): void; render(view: View): () => void };
}

const KEY = Symbol.for("jupyter_jobprogress.code");

/**
 * Run code as a module, once a page however many bars ask for it: by its text, since kernels may have different releases.
 *
 * Its address stays valid: other modules import from it.
 */
function addressOf(code: string): string {
  const page = globalThis as { [KEY]?: Map<string, string> };
  page[KEY] ??= new Map();
  const address = page[KEY].get(code) ?? URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  page[KEY].set(code, address);
  return address;
}

async function load(model: Model): Promise<Bar["default"]> {
  const code = await model.widget_manager.get_model(String(model.get("code")));
  const bar = addressOf(String(code.get("bar")));
  const { default: widget, provide }: Bar = await import(/* @vite-ignore */ bar);
  const bundle = (name: string) => async () => {
    const text = String(code.get(name)).replaceAll("./bar.js", bar);
    return ((await import(/* @vite-ignore */ addressOf(text))) as Module).bundle;
  };
  provide({ live: bundle("live"), more: bundle("more") });
  return widget;
}

// Not awaited: anywidget gives up a model that is not ready in two seconds, and what fails here fails again in `render`.
function initialize(view: Pick<View, "model">): void {
  load(view.model).then(
    (widget) => widget.initialize(view),
    () => {},
  );
}

async function render(view: View): Promise<(() => void) | undefined> {
  const { model, el, signal } = view;
  try {
    const widget = await load(model);
    return signal?.aborted ? undefined : widget.render(view);
  } catch (error) {
    el.textContent = `The bar of ${model.get("job_ids")} could not be drawn: ${error}`;
    return undefined;
  }
}

export default { initialize, render };
