import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { forget, forgetAll, nextFrame, startTicking, stopTicking } from "../src/frame";

const frames: Array<() => void> = [];

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => frames.push(run));
  vi.stubGlobal("cancelAnimationFrame", (id: number) => frames.splice(id - 1, 1));
});
afterEach(() => {
  forgetAll();
  frames.length = 0;
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("all that want to draw share one frame, and each draws once", () => {
  const [one, other] = [vi.fn(), vi.fn()];

  for (const run of [one, other, one]) nextFrame(run);

  expect(frames).toHaveLength(1);
  frames[0]?.();
  expect(one).toHaveBeenCalledOnce();
  expect(other).toHaveBeenCalledOnce();
});

test("what asks again while it draws has the frame after", () => {
  const again = vi.fn(() => again.mock.calls.length < 2 && nextFrame(again));
  nextFrame(again);

  frames[0]?.();

  expect(again).toHaveBeenCalledOnce();
  expect(frames).toHaveLength(2);
});

test("the last one to be forgotten takes the frame along", () => {
  const [one, other] = [vi.fn(), vi.fn()];
  nextFrame(one);
  nextFrame(other);

  forget(one);
  expect(frames).toHaveLength(1);
  forget(other);

  expect(frames).toHaveLength(0);
});

test("one timer ticks for all, until the last one stops", () => {
  const [one, other] = [vi.fn(), vi.fn()];
  startTicking(one);
  vi.advanceTimersByTime(900);
  startTicking(other);
  vi.advanceTimersByTime(1100);
  expect([one.mock.calls.length, other.mock.calls.length]).toEqual([2, 2]);
  expect(vi.getTimerCount()).toBe(1);

  stopTicking(one);
  stopTicking(other);

  expect(vi.getTimerCount()).toBe(0);
});
