import { afterEach, expect, test } from "vitest";

afterEach(() => {
  Reflect.deleteProperty(globalThis, "_JUPYTERLAB");
});

test("the container gives JupyterLab the plugin, made with the host's own widgets", async () => {
  await import("../src/renderer");
  const { _JUPYTERLAB } = globalThis as unknown as {
    _JUPYTERLAB: Record<string, { init(scope: object): void; get(module: string): Promise<() => object> }>;
  };
  const container = _JUPYTERLAB.jupyter_jobprogress;
  class Widget {}
  const first = { "@lumino/widgets": { "2.3.0": { get: async () => () => ({ Widget }) } } };

  container?.init(first);
  container?.init({});
  const factory = await container?.get("./mimeExtension");

  expect(factory?.()).toMatchObject({ __esModule: true, default: { id: "jupyter_jobprogress:mime" } });
  expect(Object.isExtensible(factory?.())).toBe(true);
  await expect(container?.get("./other")).rejects.toThrow("has no module");
});
