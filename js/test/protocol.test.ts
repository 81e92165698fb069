import { describe, expect, test } from "vitest";
import wire from "../../tests/wire/states.json";
import { readMessage } from "../src/messages";
import { isTerminal, readBundle, readJobIds, readState, STATUSES } from "../src/protocol";

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

describe("a state", () => {
  for (const { name, text, stored, viewer } of wire.cases) {
    test(`with ${name} is read as both languages agreed`, () => {
      expect(readState(stored ?? parse(text))).toEqual(viewer);
    });
  }

  test("of an id that breaks rule 1 is not shown", () => {
    for (const job_id of ["", "-a", "a/b", "a\n", "a".repeat(201), 7, null])
      expect(readState({ job_id, status: "queued" })).toBeNull();
  });

  test("ends by three of the five statuses", () => {
    expect(STATUSES.filter(isTerminal)).toEqual(["completed", "failed", "cancelled"]);
  });
});

describe("a message", () => {
  test("without a type is a state", () => {
    expect(readMessage({ job_id: "a", status: "queued" })).toEqual({
      type: "state",
      state: { job_id: "a", status: "queued" },
    });
  });

  test("of each kind is read, and its malformed fields are not believed", () => {
    expect(readMessage({ type: "ping", now_us: 5 })).toEqual({ type: "ping", nowUs: 5 });
    expect(readMessage({ type: "connected", now_us: "soon" })).toEqual({ type: "connected", nowUs: null });
    expect(readMessage({ type: "subscribed", job_ids: ["a", 7, "a"], missing: null })).toEqual({
      type: "subscribed",
      jobIds: ["a"],
      missing: [],
    });
    expect(readMessage({ type: "error", code: 7, job_id: "a/b" })).toEqual({
      type: "error",
      code: "internal",
      message: "",
      jobId: null,
    });
    expect(readMessage({ type: "store", up: false })).toEqual({ type: "store", up: false });
  });

  test("of no known kind is ignored", () => {
    for (const message of [null, 7, "x", [], {}, { type: "receipt" }, { type: "store" }, { type: "store", up: 1 }])
      expect(readMessage(message)).toBeNull();
  });
});

describe("a bundle", () => {
  test("keeps what can be read", () => {
    const bundle = {
      job_ids: ["a", "b", "../c"],
      states: { a: { job_id: "a", status: "queued" }, b: { job_id: "a", status: "queued" }, c: 7 },
    };

    expect(readBundle(bundle)).toEqual({
      jobIds: ["a", "b"],
      states: { a: { job_id: "a", status: "queued" } },
      table: null,
    });
  });

  test("of anything else is empty", () => {
    for (const bundle of [undefined, null, [], "x"])
      expect(readBundle(bundle)).toEqual({ jobIds: [], states: {}, table: null });
    expect(readJobIds({ length: 3 })).toEqual([]);
  });
});
