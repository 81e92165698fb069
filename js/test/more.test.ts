import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Job } from "../src/job";
import { reportLines } from "../src/more/actions";
import { Details } from "../src/more/details";
import { readHistory, readStages } from "../src/more/extras";
import { PartJobs } from "../src/more/family";
import { sortParts } from "../src/more/parts";
import { areaPath, sparkPath } from "../src/more/spark";
import { poll } from "../src/poll";
import { readWhole, type State } from "../src/protocol";
import { completed, connect, FakeSocket, fakeWorld, leaveWorld, NOW_US, running } from "./fakeSocket";

beforeEach(fakeWorld);
afterEach(leaveWorld);

const server = { url: "ws://server/", socketUrl: "ws://server/", httpUrl: "http://server/jobprogress/" };

function watched(state: State = running()) {
  const job = new Job("job-1", { kind: "server", connection: connect(), server }, () => {});
  job.start();
  FakeSocket.last.accept({ "job-1": state });
  const details = new Details(document, job);
  document.body.append(details.el);
  details.draw();
  const button = (label: string) =>
    [...details.el.querySelectorAll("button")].find((each) => each.textContent === label && !each.hidden);
  return { job, details, button, text: () => details.el.textContent ?? "" };
}

function answer(status: number, body: object) {
  const fetched = vi.fn(async (_url: string, _request?: RequestInit) => new Response(JSON.stringify(body), { status }));
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

describe("cancelling", () => {
  test("takes two clicks, goes to the server, and is said until the job ends", async () => {
    const fetched = answer(202, { cancel_requested: true });
    const { job, details, button } = watched();

    button("Cancel job")?.click();
    expect(fetched).not.toHaveBeenCalled();
    button("Really cancel?")?.click();
    await vi.advanceTimersByTimeAsync(0);

    expect(fetched.mock.calls[0]?.[0]).toBe("http://server/jobprogress/api/jobs/job-1/cancel");
    expect(job.card()).toMatchObject({ word: "Running", note: "cancel requested" });
    expect(button("Cancel job")).toBeUndefined();
    FakeSocket.last.say(completed({ status: "cancelled" }));
    details.draw();
    expect(job.card().word).toBe("Cancelled");
  });

  test("leaves whoever did it by the keyboard beside the buttons", async () => {
    answer(202, { cancel_requested: true });
    const { button } = watched();
    button("Cancel job")?.focus();

    button("Cancel job")?.click();
    button("Really cancel?")?.click();
    await vi.advanceTimersByTimeAsync(0);

    expect(document.activeElement).toBe(button("Copy id"));
  });

  test("is forgotten when the second click does not come", () => {
    const { button } = watched();
    button("Cancel job")?.click();

    vi.advanceTimersByTime(5000);

    expect(button("Really cancel?")).toBeUndefined();
    expect(button("Cancel job")).toBeDefined();
  });

  test("is not offered again to those who may not", async () => {
    answer(403, {});
    const { button, text } = watched();
    button("Cancel job")?.click();
    button("Really cancel?")?.click();
    await vi.advanceTimersByTimeAsync(0);

    expect(text()).toContain("does not allow");
    expect(button("Cancel job")).toBeUndefined();
  });
});

test("the lines for a job elsewhere are quoted for a shell, and asked of the server with its XSRF cookie", async () => {
  // biome-ignore lint/suspicious/noDocumentCookie: the old interface is what the page of a Jupyter server has
  document.cookie = "_xsrf=2%7Cabc";
  const fetched = answer(201, { url: "http://hub/it's/", token: "jp1.x" });
  const copied = vi.fn(async (_text: string) => {});
  vi.stubGlobal("navigator", { clipboard: { writeText: copied } });
  const { button } = watched();

  button("Report from elsewhere")?.click();
  await vi.advanceTimersByTimeAsync(0);

  const request = fetched.mock.calls[0]?.[1];
  expect(request?.headers).toMatchObject({ "X-XSRFToken": "2|abc" });
  expect(JSON.parse(String(request?.body))).toEqual({ job_id: "job-1", actions: ["report"], expires_in_s: 604_800 });
  expect(copied).toHaveBeenCalledExactlyOnceWith(reportLines("http://hub/it's/", "jp1.x", "job-1"));
  expect(copied.mock.calls[0]?.[0]).toContain("export JOBPROGRESS_URL='http://hub/it'\\''s/'\n");
});

test("details say of an end that it was one", () => {
  const { job, details, text } = watched(running({ timestamp: "2026-01-01T12:00:00Z" }));
  expect(text()).toContain("Last news");

  FakeSocket.last.say(completed({ timestamp: "2026-01-01T12:00:00Z", n: 3 }));
  details.draw();

  expect(job.ended).toBe(true);
  expect(text()).toMatch(/Ended.*2026.*In all3/);
  expect(text()).not.toMatch(/Last news|So far/);
});

test("a stage of which nobody says how much is done has no bar", () => {
  const stages = [
    { name: "load", elapsed_s: 3 },
    { name: "train", share: 0.9 },
  ];
  const { details } = watched({ ...running(), stages } as State);

  expect(
    [...details.el.querySelectorAll<HTMLElement>(".jobprogress-stages .jobprogress-track")].map((el) => el.hidden),
  ).toEqual([true, false]);
});

test("details say the transport and its reason, and what a word means", () => {
  const { text } = watched(running({ heartbeat_s: 10, seq: NOW_US - 60e6 }));

  expect(text()).toContain("WebSocket: the server of this page.");
  expect(text()).toContain("should have been heard of");
});

test("a traceback is read line by line with its error, and the other metadata without it", () => {
  const traceback = 'Traceback (most recent call last):\n  File "train.py", line 88, in step\nValueError: no\n';
  const failed = { status: "failed", error: "ValueError: no", metadata: { seed: 7, traceback } } as const;
  const { details } = watched({ ...running(), ...failed });
  const section = (name: string) => details.el.querySelector(`[aria-label="${name}"]`)?.textContent;

  expect(details.el.querySelector('[aria-label="Traceback"]')?.textContent).toBe(traceback);
  expect(section("Metadata")).toBe("Metadataseed7");
});

test("malformed extras are missing, and the rest is shown", () => {
  const state = readWhole({
    job_id: "a",
    status: "processing",
    stages: [{ name: "load", share: 7, progress: "x", elapsed_s: 3 }, 5, { name: 1 }],
    history: { t_s: [0, 1], progress: [0, "x", 1], metrics: { loss: [1, null, 3], gone: 7 } },
  });

  expect(state && readStages(state)).toEqual([{ name: "load", share: 1, progress: null, elapsed_s: 3 }]);
  expect(state && readHistory(state)).toEqual({
    t_s: [0, 1],
    series: [
      ["progress", [0, null]],
      ["loss", [1, null]],
      ["gone", []],
    ],
  });
});

test("a sparkline fills its box, and leaves out what was not known", () => {
  expect(sparkPath([0, 10, 20, 30], [0, null, 5, 10])).toBe("M1.5 22.5M79.5 12.0L118.5 1.5");
  expect(sparkPath([0, 1], [3, 3])).toBe("M1.5 12.0L118.5 12.0");
  expect(sparkPath([0, 0], [0, 1])).toBe("");
});

test("the area below a sparkline begins where the line does", () => {
  expect(areaPath(sparkPath([0, 10, 20], [null, 0, 5]))).toBe("M60.0 22.5L118.5 1.5V24H60.0Z");
  expect(areaPath(sparkPath([0, 10, 20], [1, null, 5]))).toBe("");
});

describe("parts", () => {
  test("are subscribed, added up by their work, and shown in the line of their parent", async () => {
    const { job } = watched(running({ progress: null }));
    FakeSocket.last.states.a = running({ job_id: "a", progress: 0.5, total: 300, unit: "rows" });
    FakeSocket.last.states.b = completed({ job_id: "b", total: 100, unit: "rows" });

    FakeSocket.last.say({ type: "children", parent_id: "job-1", job_ids: ["a", "b"] });
    await vi.advanceTimersByTimeAsync(20);

    expect(FakeSocket.last.commands("subscribe").at(-1)).toEqual({
      type: "subscribe",
      job_ids: ["a", "b"],
      interval_ms: 500,
    });
    expect(job.card("en")).toMatchObject({ fraction: 0.625, percent: "62%" });
    expect(job.card("en").facts[0]).toBe("1 / 2 parts");
  });

  test("that have not arrived are waited for, so that the bar of their parent never falls back to them", async () => {
    const { job } = watched(running({ progress: null }));
    const say = (...states: State[]) => states.map((state) => FakeSocket.last.say(state));
    const fraction = () => job.card().fraction;
    FakeSocket.last.send = () => {}; // the answer comes in pieces
    FakeSocket.last.say({ type: "children", parent_id: "job-1", job_ids: ["a", "b", "gone"] });
    await vi.advanceTimersByTimeAsync(20);

    say(running({ job_id: "a", progress: 0.8 }));
    expect(fraction()).toBeNull();
    expect(job.card("en").facts[0]).toBe("0 / 3 parts");
    say(running({ job_id: "b", progress: 0.1 }));
    FakeSocket.last.say({ type: "subscribed", job_ids: ["gone"], missing: ["gone"] });
    expect(fraction()).toBeCloseTo(0.3);

    FakeSocket.last.say({ type: "children", parent_id: "job-1", job_ids: ["late"] });
    await vi.advanceTimersByTimeAsync(20);
    say(running({ job_id: "a", progress: 1, seq: NOW_US + 1 }));
    expect(fraction()).toBeCloseTo(0.3);
    say(running({ job_id: "late", progress: 0.9 }));
    expect(fraction()).toBeCloseTo(0.5);
  });

  test("are equal where they do not count the same, and no more are followed than a server takes", () => {
    const family = new PartJobs({ kind: "saved" }, () => {});
    const ids = Array.from({ length: 210 }, (_, index) => `p${index}`);
    family.add(ids);
    for (const job_id of ids.slice(0, 200)) family.jobs.get(job_id)?.relay(running({ job_id, progress: 0.25 }));
    family.jobs.get("p0")?.relay(running({ job_id: "p0", progress: 0.5, total: 9, unit: "rows", seq: NOW_US + 1 }));
    family.jobs.get("p1")?.relay(running({ job_id: "p1", progress: 0, status: "failed", seq: NOW_US + 1 }));

    expect(family.sum()).toEqual({ count: 210, completed: 0, failed: 1, fraction: 0.25 });
  });

  test("are listed failed first, then the slowest, then what is done", () => {
    const card = (jobId: string, state: Partial<State>) => {
      const job = new Job(jobId, { kind: "saved" }, () => {});
      job.relay(running({ job_id: jobId, ...state }));
      return job.card();
    };
    const cards = [
      card("done", { status: "completed" }),
      card("fast", { progress: 0.9 }),
      card("slow", { progress: 0.1 }),
      card("bad", { status: "failed", progress: 0.5 }),
    ];

    expect(sortParts(cards).map(({ title }) => title)).toEqual(["bad", "slow", "fast", "done"]);
  });
});

describe("polling", () => {
  test("asks for each job and the store's time, and takes an unknown job for what it is", async () => {
    const fetched = vi.fn(async (url: string) => {
      if (url.includes("limit=1")) return new Response(JSON.stringify({ jobs: [], now_us: 5 }));
      if (url.includes("gone")) return new Response('{"code":"unknown_job"}', { status: 404 });
      return new Response(JSON.stringify(running()));
    });
    vi.stubGlobal("fetch", fetched);

    const polled = await poll("http://server/jobprogress/", ["job-1", "gone"]);

    expect(polled).toEqual({ nowUs: 5, states: [running()] });
    expect(fetched.mock.calls.every(([url]) => url.includes("no_track_activity=1"))).toBe(true);
  });

  test("proves to a Jupyter server that it is one of its pages, and may have a credential of its own", async () => {
    // biome-ignore lint/suspicious/noDocumentCookie: the old interface is what the page of a Jupyter server has
    document.cookie = "_xsrf=2%7Cabc";
    const fetched = answer(200, running());

    await poll("http://server/jobprogress/", ["job-1"], { Authorization: "token x" });

    for (const [, request] of fetched.mock.calls)
      expect(request?.headers).toEqual({ "X-XSRFToken": "2|abc", Authorization: "token x" });
    expect(fetched).toHaveBeenCalledTimes(2);
  });

  test("fails where no server of jobs answers", async () => {
    answer(404, { message: "Not Found" });

    await expect(poll("http://server/jobprogress/", ["job-1"])).rejects.toThrow("404");
  });
});
