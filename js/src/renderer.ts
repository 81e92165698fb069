/** Entry of the labextension: the container that JupyterLab loads, and the MIME renderer in it. */

import type * as Bar from "./bar";
import type { Live, More } from "./lazy";
import { findWidgetClass, type ShareScope } from "./lumino";
import { makePlugin } from "./mime";

const NAME = "jupyter_jobprogress";

/** Names of the other bundles, which lie beside this one. The build fills them in. */
declare const FILES: Readonly<Record<"bar" | "live" | "more", string>>;

// Known only while the script is run for the first time.
const here = document.currentScript instanceof HTMLScriptElement ? document.currentScript.src : location.href;

async function load(): Promise<typeof Bar> {
  const bundle = async (name: "live" | "more") => (await import(new URL(FILES[name], here).href)).bundle;
  const bar: typeof Bar = await import(new URL(FILES.bar, here).href);
  bar.provide({ live: (): Promise<Live> => bundle("live"), more: (): Promise<More> => bundle("more") });
  return bar;
}

// What a federated extension is to JupyterLab, from 4.0 (Webpack) to 4.6 (Rspack): `init` gives it the share scope,
// `get` answers a factory of the module that package.json names under `mimeExtension`.
interface Container {
  init(scope: ShareScope): void;
  get(module: string): Promise<() => object>;
}

let shared: ShareScope | undefined;

const container: Container = {
  init(scope) {
    shared ??= scope;
  },
  async get(module) {
    if (module !== "./mimeExtension") throw new Error(`${NAME} has no module ${module}`);
    const plugin = makePlugin(await findWidgetClass(shared ?? {}), load);
    // Not frozen: JupyterLab writes on it.
    return () => ({ __esModule: true, default: plugin });
  },
};

const page: { _JUPYTERLAB?: Record<string, Container> } = globalThis as object;
page._JUPYTERLAB ??= {};
page._JUPYTERLAB[NAME] = container;
