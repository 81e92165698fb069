import { act, StrictMode, version } from "react";
import { createRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connect } from "../../src/client/index";
import { JobProgressProvider, type UseJobProgress, useJobProgress } from "../../src/react/index";
import { completed, FakeSocket, fakeWorld, leaveWorld, NOW_US, running } from "../fakeSocket";

const URL_ = "http://jobs.example/";
const SERVER = { url: URL_, token: "t" };

let root: Root;
let seen: UseJobProgress[];

function Shown({ jobId, ...options }: { jobId: string | null } & Parameters<typeof useJobProgress>[1]) {
  const job = useJobProgress(jobId, options);
  seen.push(job);
  return <p>{job.error ?? job.progress?.progress ?? "nothing"}</p>;
}

const draw = (what: React.ReactNode) => act(async () => root.render(<StrictMode>{what}</StrictMode>));
const tell = (run: () => void) => act(async () => run());
const texts = () => [...document.body.querySelectorAll("p")].map((p) => p.textContent);
const last = () => seen.at(-1) as UseJobProgress;

beforeEach(() => {
  fakeWorld();
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  seen = [];
  root = createRoot(document.body.appendChild(document.createElement("main")));
});
afterEach(async () => {
  await act(async () => root.unmount());
  leaveWorld();
});

test("both React versions are really tested", () => {
  expect(version.split(".")[0]).toBe(import.meta.env.VITE_REACT);
});

test("gives what the hook of the original service gave, and the words of a bar", async () => {
  await draw(<Shown jobId="job-1" {...SERVER} />);
  expect(last()).toMatchObject({ progress: null, isConnected: false, error: null });

  await tell(() => FakeSocket.last.accept({ "job-1": running() }));
  expect(last()).toMatchObject({ progress: running(), isConnected: true, error: null, jobId: "job-1" });
  expect(last().card).toMatchObject({ word: "Running", percent: "42%" });

  await tell(() => FakeSocket.last.say(completed({ seq: NOW_US + 1 })));
  expect(last().progress).toMatchObject({ status: "completed" });
  expect(last().card.ended).toBe(true);
});

test("StrictMode, many components and a changed id keep to one socket", async () => {
  await draw(
    <>
      <Shown jobId="job-1" {...SERVER} />
      <Shown jobId="job-1" {...SERVER} />
      <Shown jobId="job-2" {...SERVER} />
    </>,
  );
  await tell(() =>
    FakeSocket.last.accept({ "job-1": running(), "job-3": running({ job_id: "job-3", progress: 0.9 }) }),
  );
  expect(texts()).toEqual(["0.42", "0.42", "nothing"]);

  await draw(<Shown jobId="job-3" {...SERVER} />);
  await tell(() => vi.advanceTimersByTime(0));

  expect(texts()).toEqual(["0.9"]);
  expect(FakeSocket.all).toHaveLength(1);
  const left = FakeSocket.last.commands("unsubscribe").flatMap(({ job_ids }) => job_ids);
  expect(left).toEqual(expect.arrayContaining(["job-1", "job-2"]));

  await draw(null);
  await tell(() => vi.advanceTimersByTime(5_000));
  expect(FakeSocket.last.closedBy).not.toBeNull();
});

test("an unchanged job draws nothing anew, and silence draws itself", async () => {
  await draw(<Shown jobId="job-1" {...SERVER} />);
  await tell(() => FakeSocket.last.accept({ "job-1": running({ heartbeat_s: 10, status: "queued" }) }));
  const drawn = seen.length;

  await tell(() => vi.advanceTimersByTime(5_000));
  expect(seen).toHaveLength(drawn);
  await tell(() => vi.advanceTimersByTime(26_000));

  expect(last().card.word).toBe("Stalled");
});

test("says why a job cannot be followed, and heals", async () => {
  await draw(<Shown jobId="job-1" {...SERVER} />);
  await tell(() => FakeSocket.last.accept({ "job-1": running() }));
  await tell(() => FakeSocket.last.say({ type: "store", up: false }));
  expect(last().error).toBe("Store unavailable");
  await tell(() => FakeSocket.last.say({ type: "store", up: true }));
  expect(last().error).toBeNull();

  await tell(() => FakeSocket.last.end(4401));
  expect(last()).toMatchObject({ error: "Not signed in", isConnected: false, progress: running() });
});

test("waits for an id, and says what is none", async () => {
  await draw(<Shown jobId={null} {...SERVER} />);
  expect(last()).toMatchObject({ jobId: null, progress: null, error: null });
  await last().cancel();
  await draw(<Shown jobId="no/id" {...SERVER} />);

  expect(last().error).toContain("Expected a job id");
  expect(FakeSocket.all).toHaveLength(0);
});

test("a provider names the server, options name another, a client is taken as it is", async () => {
  await draw(
    <JobProgressProvider {...SERVER}>
      <Shown jobId="job-1" />
      <Shown jobId="job-1" url="http://other.example" />
      <Shown jobId="job-1" client={connect("http://third.example")} />
    </JobProgressProvider>,
  );

  expect(FakeSocket.all.map(({ url }) => url).sort()).toEqual([
    "ws://jobs.example/ws/jobs?token=t",
    "ws://other.example/ws/jobs",
    "ws://third.example/ws/jobs",
  ]);
});

test("cancels", async () => {
  const fetched = vi.fn(async (_url: string, _init: RequestInit) => Response.json({ cancel_requested: true }));
  vi.stubGlobal("fetch", fetched);
  await draw(<Shown jobId="job-1" {...SERVER} />);

  await last().cancel();

  expect(fetched.mock.calls[0]?.[0]).toBe("http://jobs.example/api/jobs/job-1/cancel");
});

test("is drawn on a server without watching anything", () => {
  const html = renderToString(<Shown jobId="job-1" {...SERVER} />);

  expect(html).toBe("<p>nothing</p>");
  expect(FakeSocket.all).toHaveLength(0);
});
