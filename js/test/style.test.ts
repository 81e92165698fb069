import { expect, test } from "vitest";
import css from "../src/style.css?inline";

test("no rule reaches beyond our own classes", () => {
  const selectors = [...css.replace(/\/\*.*?\*\//gs, "").matchAll(/(?:^|[{};])\s*([^@{};]+)\{/g)].map(
    ([, found]) => found ?? "",
  );
  const ours = selectors.filter((selector) => !/^(from|to|&.*)$/s.test(selector.trim()));

  expect(ours.length).toBeGreaterThan(20);
  expect(ours.filter((selector) => !selector.includes(".jobprogress-"))).toEqual([]);
});

test("nothing is fetched from anywhere", () => {
  expect(css).not.toMatch(/url\(|@import/);
});
