import { expect, test } from "vitest";
import { backoffMs } from "../src/backoff";

test("the ceiling doubles from half a second to twenty", () => {
  expect([0, 1, 2, 5, 6, 1000].map((failures) => backoffMs(failures, () => 1))).toEqual([
    500, 1000, 2000, 16_000, 20_000, 20_000,
  ]);
});

test("the whole range below the ceiling is drawn from", () => {
  expect(backoffMs(3, () => 0)).toBe(0);
  expect(backoffMs(3, () => 0.5)).toBe(2000);
});
