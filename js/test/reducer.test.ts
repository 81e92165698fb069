import { describe, expect, test } from "vitest";
import wire from "../../tests/wire/order.json";
import { readState } from "../src/protocol";
import { type Known, parseUs, reduce } from "../src/reducer";
import { NOW_US, running } from "./fakeSocket";

describe("the order of states", () => {
  for (const { name, states, final } of wire) {
    test(name, () => {
      const read = states.map((state) => readState(state));

      let known: Known | null = null;
      for (const state of read) if (state) known = reduce(known, state, 100);

      expect(known?.state).toBe(read[final]);
    });
  }

  test("what is dropped changes nothing at all", () => {
    const known = reduce(null, running(), NOW_US);

    expect(reduce(known, running(), NOW_US + 5)).toBe(known);
  });
});

test("what a file left out of a state is taken from the same state of the store, also at its end", () => {
  const saved = reduce(null, running({ status: "completed", run: 1 }), NOW_US);
  const whole = running({ status: "completed", run: 1, more: { result: 42 } });

  const known = reduce(saved, whole, NOW_US + 5);

  expect(known).toEqual({ ...saved, state: whole });
  expect(reduce(known, running({ status: "completed", run: 1 }), NOW_US + 6)).toBe(known);
});

describe("the times of a state", () => {
  test("are the store's by seq, or the arrival without one", () => {
    expect(reduce(null, running({ seq: NOW_US }), NOW_US + 5).atUs).toBe(NOW_US);
    expect(reduce(null, { job_id: "a", status: "queued" }, NOW_US + 5).atUs).toBe(NOW_US + 5);
    expect(reduce(null, { job_id: "a", status: "queued" }, null).atUs).toBeNull();
  });

  test("a heartbeat is no news, a change is", () => {
    const first = reduce(null, running({ timestamp: "2026-01-01T00:00:00Z", seq: NOW_US + 3e6 }), null);
    const heartbeat = reduce(first, running({ timestamp: "2026-01-01T00:00:00Z", seq: NOW_US + 9e6 }), null);
    const change = reduce(heartbeat, running({ timestamp: "2020-01-01T00:00:00Z", seq: NOW_US + 12e6 }), null);

    expect([first.newsUs, heartbeat.newsUs, change.newsUs]).toEqual([NOW_US, NOW_US, NOW_US + 12e6]);
  });

  test("a timestamp that cannot be read is none", () => {
    expect(parseUs("yesterday")).toBeNull();
    expect(parseUs(undefined)).toBeNull();
  });
});
