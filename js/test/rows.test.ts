import { expect, test } from "vitest";
import { type Column, Rows } from "../src/more/rows";
import type { State } from "../src/protocol";
import { NOW_US, running } from "./fakeSocket";

const JOBS: ReadonlyArray<Partial<State>> = [
  { job_id: "done", status: "completed", title: "Train 10", host: "gpu-1", progress: 1, run: NOW_US - 90e6 },
  { job_id: "bad", status: "failed", title: "Train 9", host: "gpu-2", progress: 0.5, run: NOW_US - 80e6 },
  { job_id: "slow", title: "Embed", host: "gpu-2", progress: 0.2, eta_s: 500, run: NOW_US - 70e6 },
  { job_id: "fast", title: "Index", host: "cpu-1", progress: 0.8, eta_s: 5, run: NOW_US - 60e6 },
  { job_id: "late", title: "Crawl", host: "cpu-2", seq: NOW_US - 50e6, heartbeat_s: 10, run: NOW_US - 55e6 },
  { job_id: "soon", status: "queued", title: "Export", progress: 0, run: NOW_US },
];

function rows(): Rows {
  const all = new Rows();
  for (const job of JOBS) all.take(running(job), NOW_US);
  return all;
}

function pick(column: Column, { down = false, status = "", text = "" } = {}): string[] {
  return rows()
    .pick({ status, text }, { column, down }, NOW_US, "en")
    .map(({ jobId }) => jobId);
}

test("by status, what wants to be looked at comes first, and the other way round", () => {
  expect(pick("Status")).toEqual(["late", "fast", "slow", "soon", "bad", "done"]);
  expect(pick("Status", { down: true })).toEqual(["done", "bad", "soon", "fast", "slow", "late"]);
});

test.each([
  ["Job", ["late", "slow", "soon", "fast", "bad", "done"]], // Train 9 before Train 10
  ["Progress", ["soon", "slow", "late", "bad", "fast", "done"]],
  ["Elapsed", ["soon", "late", "fast", "slow", "bad", "done"]],
  ["Left", ["fast", "slow", "soon", "late", "bad", "done"]], // what is not known comes last
  ["Host", ["soon", "fast", "late", "done", "slow", "bad"]],
] as const)("sorts by %s", (column, order) => {
  expect(pick(column)).toEqual(order);
});

test("what is not known comes last the other way round, too", () => {
  expect(pick("Left", { down: true })).toEqual(["slow", "fast", "soon", "late", "bad", "done"]);
});

test("narrows by status, and by a text in the title, the id or the host", () => {
  expect(pick("Job", { status: "processing" })).toEqual(["late", "slow", "fast"]);
  expect(pick("Job", { text: " TRAIN " })).toEqual(["bad", "done"]);
  expect(pick("Job", { text: "gpu-2" })).toEqual(["slow", "bad"]);
  expect(pick("Job", { text: "soon" })).toEqual(["soon"]);
  expect(pick("Job", { status: "failed", text: "embed" })).toEqual([]);
});

test("older states change nothing, and what a whole list no longer has is forgotten", () => {
  const all = rows();
  all.take(running({ job_id: "fast", seq: NOW_US - 1, progress: 0.1 }), NOW_US);
  all.keep(new Set(["fast"]));

  const [row] = all.pick({ status: "", text: "" }, { column: "Job", down: false }, NOW_US, "en");

  expect(all.size).toBe(1);
  expect(row).toMatchObject({ elapsed_s: 60, left_s: 5, card: { percent: "80%" } });
});

test("a job that has ended took as long as its line says, whenever that was stored", () => {
  const all = new Rows();
  const times = { started_at: "2026-01-01T12:00:00Z", timestamp: "2026-01-01T12:00:10Z" };
  all.take(running({ job_id: "a", status: "completed", run: NOW_US - 900e6, seq: NOW_US, ...times }), NOW_US);

  const [row] = all.pick({ status: "", text: "" }, { column: "Job", down: false }, NOW_US, "en");

  expect([row?.elapsed_s, row?.card.facts]).toEqual([10, ["in 0:10"]]);
});

test("a job that is past its time has no time left that could be told", () => {
  const all = new Rows();
  all.take(running({ job_id: "burst", seq: NOW_US, eta_s: 0.4 }), NOW_US);
  all.take(running({ job_id: "late", seq: NOW_US, eta_s: 5 }), NOW_US);

  const at = (nowUs: number) =>
    all.pick({ status: "", text: "" }, { column: "Job", down: false }, nowUs, "en").map(({ left_s }) => left_s);

  expect(at(NOW_US)).toEqual([null, 5]);
  expect(at(NOW_US + 6e6)).toEqual([null, null]);
});
