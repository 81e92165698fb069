import { expect, test } from "vitest";
import { StoreClock } from "../src/clock";

test("the store's time goes on with the local clock", () => {
  let localMs = 100;
  const clock = new StoreClock(() => localMs);
  expect(clock.nowUs()).toBeNull();

  clock.set(5_000_000);
  localMs += 250;

  expect(clock.nowUs()).toBe(5_250_000);
});

test("a time that has passed moves the clock forward, never back", () => {
  const clock = new StoreClock(() => 0);

  clock.atLeast(5_000_000);
  clock.atLeast(4_000_000);

  expect(clock.nowUs()).toBe(5_000_000);
});
