import { expect, test, vi } from "vitest";

test("one observer tells each element of itself, until it is left", async () => {
  const observed = new Set<Element>();
  let report: (entries: ReadonlyArray<{ target: Element; isIntersecting: boolean }>) => void = () => {};
  const made = vi.fn();
  class Observer {
    constructor(run: typeof report) {
      made();
      report = run;
    }
    observe(el: Element) {
      observed.add(el);
    }
    unobserve(el: Element) {
      observed.delete(el);
    }
  }
  vi.stubGlobal("IntersectionObserver", Observer);
  const { watchSight } = await import("../src/sight");
  const [a, b] = [document.createElement("div"), document.createElement("div")];
  const told: Array<readonly [string, boolean]> = [];

  const leave = watchSight(a, (seen) => told.push(["a", seen]));
  watchSight(b, (seen) => told.push(["b", seen]));
  report([
    { target: b, isIntersecting: false },
    { target: a, isIntersecting: true },
  ]);
  leave();

  expect(made).toHaveBeenCalledOnce();
  expect(told).toEqual([
    ["b", false],
    ["a", true],
  ]);
  expect([...observed]).toEqual([b]);
  vi.unstubAllGlobals();
});
