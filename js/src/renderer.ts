/** Entry of the labextension: the container that JupyterLab loads, and the MIME renderer in it. */

import { findWidgetClass, type ShareScope } from "./lumino";
import { makePlugin } from "./mime";

const NAME = "jupyter_jobprogress";

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
    const plugin = makePlugin(await findWidgetClass(shared ?? {}));
    // Not frozen: JupyterLab writes on it.
    return () => ({ __esModule: true, default: plugin });
  },
};

const page: { _JUPYTERLAB?: Record<string, Container> } = globalThis as object;
page._JUPYTERLAB ??= {};
page._JUPYTERLAB[NAME] = container;
