import { expect, describe as group, test } from "vitest";
import { describe, type Link } from "../src/describe";
import type { State } from "../src/protocol";
import { reduce } from "../src/reducer";
import { completed, NOW_US, running } from "./fakeSocket";

const iso = (after_s: number) => new Date(NOW_US / 1000 + after_s * 1000).toISOString();

function card(state: State | null, link: Link = "live", after_s = 0, reason = "") {
  const around = { link, nowUs: NOW_US + after_s * 1e6, reason, locale: "en" };
  return describe("job-1", state && reduce(null, state, NOW_US), around);
}

const busy = running({
  title: "Train",
  stage: "epoch 3",
  message: "falling",
  n: 420,
  total: 1000,
  unit: "batches",
  rate_per_s: 5.25,
  eta_s: 110,
  heartbeat_s: 10,
  timestamp: iso(0),
  started_at: iso(-60),
  run: NOW_US - 60e6,
  metrics: { loss: 0.123, gone: null },
});

group("a running job", () => {
  test("shows everything it says, and ticks by the store's clock", () => {
    expect(card(busy, "live", 5)).toEqual({
      title: "Train",
      stage: "epoch 3",
      word: "Running",
      note: "",
      shape: "processing",
      tone: "active",
      fraction: 0.42,
      percent: "42%",
      facts: [
        "420 / 1,000 batches",
        expect.stringMatching(/^1:45 left \(\d+:\d\d [AP]M\)$/),
        "1:05 elapsed",
        "5.25 batches/s",
      ],
      message: "falling",
      error: "",
      metrics: [
        ["loss", "0.123"],
        ["gone", "–"],
      ],
      host: "",
      ended: false,
      moving: true,
    });
  });

  test("of unknown size has no number", () => {
    expect(card({ ...busy, progress: null })).toMatchObject({ fraction: null, percent: "", moving: true });
  });

  test("is dated by its run where the reporter's clock is wrong", () => {
    expect(card({ ...busy, started_at: iso(5000) }, "live", 5).facts).toContain("1:05 elapsed");
  });

  test("that nobody will see the end of has no date of it, which no year would belong to", () => {
    const facts = (eta_s: number) => card({ ...busy, eta_s }).facts[1];

    expect(facts(400 * 86_400)).toBe("400d 00:00 left");
    expect(facts(1e15)).toBe("11,574,074,074d 01:46 left");
  });

  test("with its id and status alone is shown by them", () => {
    expect(card({ job_id: "job-1", status: "processing" })).toMatchObject({
      title: "job-1",
      word: "Running",
      facts: [],
    });
  });
});

group("silence", () => {
  test("is stalled after three heartbeats and lost after twelve, and heals", () => {
    expect(card(busy, "live", 45)).toMatchObject({ word: "Stalled", note: "no signal for 0:45", tone: "warn" });
    expect(card(busy, "live", 130)).toMatchObject({ word: "Lost", note: "no signal for 2:10", tone: "bad" });
    expect(card({ ...busy, seq: NOW_US + 130e6 }, "live", 130).word).toBe("Running");
  });

  test("stops what would pretend to move: the stripe and the countdown", () => {
    const { moving, facts } = card({ ...busy, progress: null }, "live", 45);

    expect(moving).toBe(false);
    expect(facts.some((fact) => fact.includes("left"))).toBe(false);
  });

  test("of the work alone is another thing than of the reporter", () => {
    const beating = { ...busy, seq: NOW_US + 64e6 };

    expect(card(beating, "live", 59).note).toBe("");
    expect(card(beating, "live", 65)).toMatchObject({ word: "Running", note: "no progress for 1:05" });
  });

  test("of a reporter without heartbeats is told, not judged", () => {
    const { heartbeat_s: _, ...plain } = busy;

    expect(card(plain, "live", 3600)).toMatchObject({ word: "Running", note: "no update for 1:00:00", tone: "active" });
  });
});

group("the end", () => {
  test("is calm: a full bar, the time it took, what was done", () => {
    const done = completed({
      n: 1000,
      total: 1000,
      unit: "rows",
      started_at: iso(-200),
      timestamp: iso(0),
      progress: 0.98,
    });

    expect(card(done)).toMatchObject({
      word: "Completed",
      tone: "good",
      fraction: 1,
      facts: ["in 3:20", "1,000 rows"],
      ended: true,
      moving: false,
    });
    expect(card({ ...done, unit: "" }).facts).toEqual(["in 3:20", "1,000 / 1,000"]); // a bare number would be a riddle
  });

  test("says how far a failure came, and why, once", () => {
    const failed = { ...busy, status: "failed", error: "E\nValueError: no", message: "ValueError: no" } as const;

    expect(card(failed)).toMatchObject({
      word: "Failed",
      tone: "bad",
      facts: ["after 1:00", "at 42%", "420 / 1,000 batches"],
      error: "E\nValueError: no",
      message: "",
    });
  });

  test.each([
    ["ValueError: no", "Error: ValueError: no"],
    ["Traceback\n  File\nValueError: no\n", "Job failed: ValueError: no"],
    ["ValueError: no", "ValueError"],
  ])("says %j once, though the message %j has it, too", (error, message) => {
    expect(card({ ...busy, status: "failed", error, message }).message).toBe("");
    const other = card({ ...busy, status: "failed", error, message: "at file 7", stage: "Error" });
    expect([other.message, other.stage]).toEqual(["at file 7", "Error"]);
  });

  test("stays what it is, whatever becomes of the connection", () => {
    for (const link of ["saved", "connecting", "reconnecting", "store_down", "waiting"] as const)
      expect(card(completed(), link, 5000).word).toBe("Completed");
    expect(card({ ...busy, status: "cancelled" }, "live", 5000)).toMatchObject({ word: "Cancelled", tone: "off" });
  });
});

group("a state that may be outdated", () => {
  test.each([
    ["connecting", "Connecting"],
    ["reconnecting", "Reconnecting"],
    ["unreachable", "Not connected"],
    ["waiting", "Expired"],
    ["store_down", "Store unavailable"],
    ["unauthorized", "Not signed in"],
    ["forbidden", "Not allowed"],
    ["refused", "Refused"],
    ["saved", "Running when saved"],
  ] as const)("%s is said as %j, and nothing ticks", (link, word) => {
    const shown = card(busy, link, 3600);

    expect(shown).toMatchObject({ word, fraction: 0.42, moving: false });
    expect(shown.facts).toEqual(["420 / 1,000 batches", "1:00 elapsed", "5.25 batches/s"]);
  });

  test("nothing at all is waited for", () => {
    expect(card(null)).toMatchObject({ title: "job-1", word: "Waiting for the job", fraction: null, facts: [] });
    expect(card(null, "saved").word).toBe("Waiting for the job");
    expect(card(null, "refused", 0, "at most 256").note).toBe("at most 256");
  });
});

test("what only says again that a job completed is left out", () => {
  const plain = card(completed({ stage: "complete", message: "Job completed" }));
  const words = card(completed({ stage: "export", message: "Saved" }));

  expect([plain.stage, plain.message]).toEqual(["", ""]);
  expect([words.stage, words.message]).toEqual(["export", "Saved"]);
});
