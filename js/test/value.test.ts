import { expect, test } from "vitest";
import { pairsOf, Value } from "../src/more/value";

function shown(value: unknown): HTMLElement {
  const parent = document.createElement("div");
  new Value(document, parent, "Result").draw(value);
  return parent;
}

test("a small flat object is names and values", () => {
  expect(pairsOf({ a: 1, b: "x", tags: ["p", "q"], none: null, deep: { c: 2 } })).toEqual([
    ["a", "1"],
    ["b", "x"],
    ["tags", "p, q"],
    ["none", "null"],
    ["deep", '{"c":2}'],
  ]);
});

test.each([
  ["a list", [1, 2]],
  ["a text", "x"],
  ["a long field", { a: "x".repeat(81) }],
  ["a field of several lines", { a: "x\ny" }],
  ["many fields", Object.fromEntries(Array.from({ length: 25 }, (_, index) => [`f${index}`, index]))],
])("%s is not", (_, value) => {
  expect(pairsOf(value)).toBeNull();
});

test("everything else is written as JSON, cut where it is long, in a box that a keyboard reaches", () => {
  const box = shown([{ deep: [1] }]).querySelector("pre");
  expect(box?.textContent).toBe(JSON.stringify([{ deep: [1] }], null, 2));
  expect(box?.tabIndex).toBe(0);

  expect(shown("x".repeat(5000)).querySelector("pre")?.textContent).toBe(`${"x".repeat(4096)}…`);
});

test.each([undefined, null, {}])("%s has no section", (value) => {
  expect(shown(value).querySelector<HTMLElement>("[role=group]")?.hidden).toBe(true);
});

test("markup stays text", () => {
  const evil = "<img src=x onerror=alert(1)>";

  const el = shown({ [evil]: evil });

  expect(el.querySelector("img")).toBeNull();
  expect(el.textContent).toContain(evil);
});
