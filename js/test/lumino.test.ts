import { expect, test } from "vitest";
import { findWidgetClass, type SharedEntry } from "../src/lumino";

function entry(name: string, loaded?: unknown): SharedEntry {
  const Widget = { [name]: class {} }[name];
  return { get: async () => () => ({ Widget }), ...(loaded === undefined ? {} : { loaded }) };
}

test("the version that the page has loaded is taken before a newer one", async () => {
  const scope = { "@lumino/widgets": { "2.10.0": entry("newer"), "2.3.0": entry("loaded", 1) } };

  expect((await findWidgetClass(scope)).name).toBe("loaded");
});

test("without a hint the highest version is taken, by numbers", async () => {
  const scope = { "@lumino/widgets": { "2.9.1": entry("old"), "2.10.0": entry("new"), "1.37.2": entry("oldest") } };

  expect((await findWidgetClass(scope)).name).toBe("new");
});

test("a page without Lumino is told apart in a sentence", async () => {
  await expect(findWidgetClass({})).rejects.toThrow("shares no @lumino/widgets");
});
