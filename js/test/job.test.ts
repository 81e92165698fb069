import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { StoreClock } from "../src/clock";
import { ClientCode } from "../src/codes";
import { Job } from "../src/job";
import { completed, connect, FakeSocket, fakeWorld, leaveWorld, NOW_US, running } from "./fakeSocket";

beforeEach(fakeWorld);
afterEach(leaveWorld);

function watched() {
  const connection = connect();
  const changed = vi.fn();
  const job = new Job("job-1", { kind: "server", connection }, changed);
  return { connection, changed, job, word: () => job.card("en").word };
}

test("the words follow the connection from the first attempt to the state", () => {
  const { job, word } = watched();
  job.restore(running());
  job.start();
  expect(word()).toBe("Connecting");

  FakeSocket.last.send = () => {};
  FakeSocket.last.accept();
  expect(word()).toBe("Connecting");
  FakeSocket.last.say({ type: "subscribed", job_ids: ["job-1"], missing: ["job-1"] });
  expect(word()).toBe("Expired");
  FakeSocket.last.say(running({ seq: NOW_US + 1 }));
  expect(word()).toBe("Running");

  FakeSocket.last.end(1012);
  expect(word()).toBe("Reconnecting");
  vi.advanceTimersByTime(500);
  FakeSocket.last.accept({ "job-1": running({ seq: NOW_US + 2 }) });
  expect(word()).toBe("Running");

  FakeSocket.last.say({ type: "store", up: false });
  expect(word()).toBe("Store unavailable");
  FakeSocket.last.end(4401);
  expect(word()).toBe("Not signed in");
});

test("a server that never answers is called that after five attempts", () => {
  const { job, word } = watched();
  job.start();

  for (let attempt = 0; attempt < 5; attempt++) {
    expect(word()).toBe("Connecting");
    FakeSocket.last.end(1006);
    vi.advanceTimersByTime(20_000);
  }

  expect(word()).toBe("Not connected");
});

test("a refusal is shown with the server's reason, until the job is subscribed after all", () => {
  const { job, word } = watched();
  job.start();
  FakeSocket.last.onopen = null;
  FakeSocket.last.send = () => {};
  FakeSocket.last.accept();

  FakeSocket.last.say({ type: "error", code: "too_many_subscriptions", message: "at most 256" });
  expect(job.card()).toMatchObject({ word: "Refused", note: "at most 256" });

  FakeSocket.last.say({ type: "subscribed", job_ids: ["job-1"], missing: ["job-1"] });
  expect(word()).toBe("Waiting for the job");
});

test("a saved state never overtakes what is known", () => {
  const { job } = watched();
  job.start();
  FakeSocket.last.accept({ "job-1": running({ progress: 0.9 }) });

  job.restore({ job_id: "job-1", status: "processing", progress: 0.1 });
  job.restore(running({ seq: NOW_US - 1, progress: 0.1 }));

  expect(job.state?.progress).toBe(0.9);
});

/** Minutes pass in which the server pings. */
function pass(minutes: number): void {
  for (let minute = 0; minute < minutes; minute++) {
    vi.advanceTimersByTime(60_000);
    if (FakeSocket.last.closedBy === null) FakeSocket.last.say({ type: "ping", now_us: NOW_US });
  }
}

test("an ended job is watched on for ten minutes, in which a new run starts it again", () => {
  const { connection, job } = watched();
  job.start();
  FakeSocket.last.accept({ "job-1": completed() });

  pass(9);
  FakeSocket.last.say(running({ seq: NOW_US + 5e6, run: NOW_US + 5e6 }));
  pass(9);
  expect(job.ended).toBe(false);

  FakeSocket.last.say(completed({ seq: NOW_US + 6e6, run: NOW_US + 5e6 }));
  pass(12);
  expect(FakeSocket.last.closedBy).toBe(ClientCode.NOTHING_WATCHED);
  expect(connection.status.phase).toBe("closed");
  expect(job.card().word).toBe("Completed");
});

test("a job that ended long ago shows a new run, as long as another job keeps the socket", () => {
  const { connection, job, word } = watched();
  const other = new Job("job-2", { kind: "server", connection }, () => {});
  job.start();
  other.start();
  const live = (us: number) => running({ job_id: "job-2", seq: NOW_US + us, heartbeat_s: 10 });
  FakeSocket.last.accept({ "job-1": completed(), "job-2": live(0) });

  for (let minute = 1; minute < 30; minute++) {
    pass(1);
    FakeSocket.last.say({ type: "ping", now_us: NOW_US + minute * 60e6 });
    FakeSocket.last.say(live(minute * 60e6));
  }
  FakeSocket.last.say(running({ seq: NOW_US + 1900e6, run: NOW_US + 1900e6 }));

  expect(word()).toBe("Running");
  expect(FakeSocket.all).toHaveLength(1);
  expect(FakeSocket.last.commands("unsubscribe")).toEqual([]);
});

test("a new run behind a socket at rest is shown when somebody looks again", () => {
  const { job, word } = watched();
  job.start();
  FakeSocket.last.accept({ "job-1": completed() });
  pass(12);

  job.start();
  FakeSocket.last.accept({ "job-1": running({ seq: NOW_US + 9e8, run: NOW_US + 9e8 }) });

  expect(FakeSocket.all).toHaveLength(2);
  expect(word()).toBe("Running");
});

test("an outage is not taken for rest: the page tries on, and the job comes back by itself", () => {
  const { job, word } = watched();
  job.start();
  FakeSocket.last.accept({ "job-1": running({ heartbeat_s: 10 }) });

  for (let attempt = 0; attempt < 120; attempt++) {
    FakeSocket.last.end(1006);
    vi.advanceTimersByTime(20_000);
  }
  expect(word()).toBe("Reconnecting");
  FakeSocket.last.accept({ "job-1": running({ seq: NOW_US + 5 }) });

  expect(word()).toBe("Running");
});

test("a relayed job is judged by the newest seq, not by the page's clock", () => {
  const job = new Job("job-1", { kind: "relay", clock: new StoreClock(() => performance.now()) }, () => {});

  job.relay(running({ seq: 5_000_000, heartbeat_s: 1 }));
  expect(job.card().word).toBe("Running");
  vi.advanceTimersByTime(4000);
  expect(job.card().word).toBe("Stalled");
  job.relay(running({ seq: 9_000_000, heartbeat_s: 1 }));

  expect(job.card().word).toBe("Running");
});

test("a relayed job without seq goes by the machine's clock", () => {
  const job = new Job("job-1", { kind: "relay", clock: new StoreClock(() => performance.now()) }, () => {});
  job.relay({ job_id: "job-1", status: "processing" });

  vi.advanceTimersByTime(61_000);

  expect(job.card().note).toBe("no update for 1:01");
});

test("a stopped job leaves its connection", () => {
  const { job } = watched();
  job.start();
  FakeSocket.last.accept();

  job.stop();
  job.stop();

  expect(FakeSocket.last.commands("unsubscribe")).toHaveLength(1);
});

test("a job asks for less where nobody sees it, is never unwatched for that, and does not ask when it has left", () => {
  const job = new Job("job-1", { kind: "server", connection: connect() }, () => {}, { interval_ms: 50 });
  job.start();
  FakeSocket.last.accept({ "job-1": running() });
  const asked = () => FakeSocket.last.commands("subscribe").map(({ interval_ms }) => interval_ms);

  job.pace(1000);
  vi.advanceTimersByTime(1);
  expect(asked()).toEqual([50, 1000]);
  job.pace(1000);
  job.pace(50);
  vi.advanceTimersByTime(1);
  expect(asked()).toEqual([50, 1000, 50]);

  expect(FakeSocket.last.commands("unsubscribe")).toEqual([]);
  job.stop();
  job.pace(1000);
  vi.advanceTimersByTime(1);
  expect(asked()).toEqual([50, 1000, 50]);
  expect(FakeSocket.last.commands("unsubscribe")).toHaveLength(1);
});
