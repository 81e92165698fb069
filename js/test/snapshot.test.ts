import { expect, test } from "vitest";
import wire from "../../tests/wire/snapshots.json";
import { describe } from "../src/describe";
import { readWhole } from "../src/protocol";
import { reduce } from "../src/reducer";
import { snapshot } from "../src/snapshot";

const card = (value: unknown) => {
  const state = readWhole(value);
  return describe("train-7", state && reduce(null, state, null), { link: "live", nowUs: null, locale: "en" });
};

test.each(wire.cases)("$name", ({ state, html, text }) => {
  expect(snapshot(document, [card(state)])).toEqual({ html, text });
});

test("several jobs are several cards and several lines", () => {
  const { html, text } = snapshot(
    document,
    wire.cases.slice(0, 2).map(({ state }) => card(state)),
  );

  expect(text).toBe(
    wire.cases
      .slice(0, 2)
      .map((each) => each.text)
      .join("\n"),
  );
  expect(html.match(/<strong/g)).toHaveLength(2);
});
