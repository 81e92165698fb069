import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Client, connect, JobProgressError, type JobState } from "../src/client/index";
import { completed, FakeSocket, fakeWorld, leaveWorld, NOW_US, running } from "./fakeSocket";

beforeEach(fakeWorld);
afterEach(leaveWorld);

const URL_ = "http://jobs.example/base";

function answer(status: number, body: object) {
  const fetched = vi.fn(async (_url: string, _init: RequestInit) => Response.json(body, { status }));
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

function collect(client: Client, jobId = "job-1") {
  const states: JobState[] = [];
  const result = (async () => {
    for await (const state of client.watch(jobId)) states.push(state);
  })();
  return { states, result };
}

describe("watching", () => {
  test("calls back with the present state, as it was on the wire, and with every later one", () => {
    const seen = vi.fn();
    const leave = connect(URL_, { token: "s3cret" }).watch("job-1", seen);
    const first = { ...running(), metadata: { fps: 30 }, origin: { host: "gpu-3" } };

    FakeSocket.last.accept({ "job-1": first });
    FakeSocket.last.say(running({ seq: NOW_US + 1, progress: 0.5 }));
    FakeSocket.last.say(running({ seq: NOW_US, progress: 0.1 }));
    leave();
    FakeSocket.last.say(running({ seq: NOW_US + 2 }));

    expect(seen.mock.calls.map(([state]) => state)).toEqual([first, running({ seq: NOW_US + 1, progress: 0.5 })]);
    expect(seen.mock.lastCall?.[1]).toMatchObject({ isConnected: true, error: null, card: { word: "Running" } });
    expect(FakeSocket.last.url).toBe("ws://jobs.example/base/ws/jobs?token=s3cret");
  });

  test("clients of one server and token share a socket, others do not", () => {
    connect(URL_, { token: "a" }).watch("job-1", () => {});
    connect(`${URL_}/`, { token: "a" }).watch("job-2", () => {});
    expect(FakeSocket.all).toHaveLength(1);

    connect(URL_, { token: "b" }).watch("job-1", () => {});
    expect(FakeSocket.all).toHaveLength(2);
  });

  test("what closes one client leaves the other its jobs, and the last one takes the socket along at once", () => {
    const [one, two] = [connect(URL_), connect(URL_)];
    one.watch("job-1", () => {});
    two.watch("job-2", () => {});
    FakeSocket.last.accept();

    one.close();
    expect(FakeSocket.last.commands("unsubscribe")).toEqual([{ type: "unsubscribe", job_ids: ["job-1"] }]);
    expect(FakeSocket.last.closedBy).toBeNull();
    two.close();

    expect(FakeSocket.last.closedBy).not.toBeNull();
    expect(vi.getTimerCount()).toBe(1); // the beat by which a page sees that it slept
  });

  test("comes back after a restart, and asks again", () => {
    const seen = vi.fn();
    connect(URL_).watch("job-1", seen);
    FakeSocket.last.accept({ "job-1": running() });

    FakeSocket.last.end(1012);
    vi.advanceTimersByTime(20_000);
    FakeSocket.last.accept({ "job-1": completed() });

    expect(FakeSocket.all.length).toBeGreaterThan(1);
    expect(seen.mock.lastCall?.[0]).toEqual(completed());
  });

  test("takes a WebSocket class where the platform has none", () => {
    vi.stubGlobal("WebSocket", undefined);
    connect(URL_, { WebSocket: FakeSocket }).watch("job-1", () => {});

    expect(FakeSocket.all).toHaveLength(1);
  });

  test("polls where there is no socket at all", async () => {
    vi.stubGlobal("WebSocket", undefined);
    const fetched = answer(200, running());
    const seen = vi.fn();

    connect(URL_, { token: "jp1.abc" }).watch("job-1", seen);
    await vi.advanceTimersByTimeAsync(10_000);

    expect(seen.mock.calls[0]?.[0]).toEqual(running());
    expect(fetched.mock.calls[0]?.[1].headers).toEqual({ Authorization: "JobProgress jp1.abc" });
  });

  test("says what a job id is", () => {
    expect(() => connect(URL_).watch("no/id", () => {})).toThrow('not "no/id"');
    expect(FakeSocket.all).toHaveLength(0);
  });
});

describe("iterating", () => {
  test("ends with the end of the job, and leaves it", async () => {
    const { states, result } = collect(connect(URL_));
    FakeSocket.last.accept({ "job-1": running() });
    await vi.advanceTimersByTimeAsync(0);
    FakeSocket.last.say(completed());
    await result;

    expect(states).toEqual([running(), completed()]);
    expect(FakeSocket.last.commands("unsubscribe")).toHaveLength(1);
  });

  test("gives the newest state to those who are slow, and the end even if the next run has begun", async () => {
    const iterator = connect(URL_).watch("job-1");
    const first = iterator.next();
    FakeSocket.last.accept({ "job-1": running() });
    expect(await first).toEqual({ done: false, value: running() });

    FakeSocket.last.say(running({ seq: NOW_US + 1 }));
    FakeSocket.last.say(completed({ seq: NOW_US + 2 }));
    FakeSocket.last.say(running({ seq: NOW_US + 3, run: NOW_US + 3 }));

    expect((await iterator.next()).value).toEqual(completed({ seq: NOW_US + 2 }));
    expect((await iterator.next()).done).toBe(true);
  });

  test.each([
    ["no longer signed in", () => FakeSocket.last.end(4401), "unauthorized"],
    [
      "not allowed",
      () => FakeSocket.last.say({ type: "error", code: "forbidden", message: "Not yours.", job_id: "job-1" }),
      "forbidden",
    ],
  ])("throws where waiting is in vain: %s", async (_, happens, code) => {
    const { result } = collect(connect(URL_));
    const failed = expect(result).rejects.toMatchObject({ name: "JobProgressError", code });
    FakeSocket.last.accept();
    await vi.advanceTimersByTimeAsync(0);
    happens();

    await failed;
  });

  test("ends by a signal and with the client", async () => {
    const client = connect(URL_);
    const controller = new AbortController();
    const aborted = client.watch("job-1", { signal: controller.signal }).next();
    const waiting = expect(client.wait("job-2")).rejects.toThrow("the client was closed");
    const iterating = client.watch("job-3").next();
    controller.abort(new Error("Enough."));
    await expect(aborted).rejects.toThrow("Enough.");
    client.close();

    expect((await iterating).done).toBe(true);
    await waiting;
  });

  test("waits for the end", async () => {
    const waiting = connect(URL_).wait("job-1");
    FakeSocket.last.accept({ "job-1": running() });
    await vi.advanceTimersByTimeAsync(0);
    FakeSocket.last.say(completed());

    expect((await waiting).status).toBe("completed");
  });
});

describe("asking", () => {
  test("reads one job, or null", async () => {
    const fetched = answer(200, { ...running(), result: [1] });
    expect(await connect(URL_, { token: "t" }).get("a:b")).toEqual({ ...running(), result: [1] });
    expect(fetched).toHaveBeenCalledWith("http://jobs.example/base/api/jobs/a%3Ab", {
      method: "GET",
      headers: { Authorization: "token t" },
    });

    answer(404, { code: "unknown_job", message: "No job." });
    expect(await connect(URL_).get("a")).toBeNull();
  });

  test("lists, a page at a time, without what is no state", async () => {
    const fetched = answer(200, { jobs: [running(), { status: "odd" }], next: 7 });

    expect(await connect(URL_).list({ status: "failed", limit: 2 })).toEqual({ jobs: [running()], next: 7 });
    expect(fetched.mock.calls[0]?.[0]).toBe("http://jobs.example/base/api/jobs?status=failed&limit=2");
  });

  test("cancels, with what a Jupyter server wants from its pages", async () => {
    const fetched = answer(202, { cancel_requested: true });
    // biome-ignore lint/suspicious/noDocumentCookie: as the server sets it
    document.cookie = "_xsrf=2%7Cabc";

    await connect(URL_).cancel("job-1");

    expect(fetched.mock.calls[0]?.[1]).toMatchObject({ method: "POST", headers: { "X-XSRFToken": "2|abc" } });
  });

  test("throws what the server said, and what kept it from saying anything", async () => {
    answer(403, { code: "forbidden", message: "Expected a user who may cancel." });
    await expect(connect(URL_).cancel("job-1")).rejects.toEqual(
      new JobProgressError("Expected a user who may cancel.", "forbidden", 403),
    );
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    await expect(connect(URL_).list()).rejects.toMatchObject({ code: "http", status: null });
  });
});

test.each(["ftp://jobs.example/", "http://"])("says what a URL is: %s", (url) => {
  expect(() => connect(url)).toThrow(TypeError);
});
