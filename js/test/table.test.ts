import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Table } from "../src/more/table";
import type { Filter, State } from "../src/protocol";
import { connect, FakeSocket, fakeWorld, leaveWorld, NOW_US, running } from "./fakeSocket";

const server = { url: "ws://server/", socketUrl: "ws://server/", httpUrl: "http://server/jobprogress/" };

beforeEach(fakeWorld);
afterEach(() => {
  for (const table of tables.splice(0)) table.dispose();
  leaveWorld();
});

const tables: Table[] = [];

/** A server whose list of jobs is the test's, newest first, `limit` on a page. */
function serve(jobs: readonly State[]) {
  const fetched = vi.fn(async (url: string, _request?: RequestInit) => {
    const query = new URL(url).searchParams;
    const [first, limit] = [Number(query.get("after") ?? 0), Number(query.get("limit"))];
    const next = first + limit < jobs.length ? first + limit : null;
    return Response.json({ jobs: jobs.slice(first, first + limit), next, now_us: NOW_US });
  });
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

async function shown(filter: Filter = { status: "", text: "" }, open: (jobId: string) => void = () => {}) {
  const table = new Table(document, { kind: "server", connection: connect(), server }, filter, open);
  tables.push(table);
  document.body.append(table.el);
  table.draw();
  await vi.advanceTimersByTimeAsync(500);
  const rows = () => [...table.el.querySelectorAll<HTMLElement>("[data-job]")].map((row) => row.dataset.job);
  const count = () => table.el.querySelector("[role=status]")?.textContent;
  return { table, rows, count };
}

const many = (length: number) =>
  Array.from({ length }, (_, index) => running({ job_id: `job-${index}`, seq: NOW_US - index, run: NOW_US - index }));

test("all pages are read, few rows are made, and what is in sight is followed", async () => {
  const fetched = serve(many(450));

  const { rows, count } = await shown();

  expect(count()).toBe("450 jobs");
  expect(fetched).toHaveBeenCalledTimes(3);
  expect(rows().length).toBeLessThan(40);
  FakeSocket.last.accept();
  expect(FakeSocket.last.commands("subscribe")[0]?.job_ids).toEqual(rows());
});

test("a row tells a job of unknown size from one that has not begun", async () => {
  serve([running({ job_id: "a", progress: null }), running({ job_id: "b", seq: NOW_US - 1, progress: 0 })]);

  const { table } = await shown();

  const tracks = [...table.el.querySelectorAll<HTMLElement>("[data-job] .jobprogress-track")];
  expect(tracks.map(({ dataset }) => dataset.unknown)).toEqual(["moving", undefined]);
});

test("what follows on the list of what is known is not read again", async () => {
  const jobs = many(450);
  const fetched = serve(jobs);
  const { count } = await shown();
  fetched.mockClear();

  jobs.unshift(running({ job_id: "new", seq: NOW_US + 1 }));
  await vi.advanceTimersByTimeAsync(2000);

  expect(count()).toBe("451 jobs");
  expect(fetched).toHaveBeenCalledOnce();
});

test("a hidden page asks for nothing, and at once when it is shown", async () => {
  const fetched = serve(many(1));
  await shown();
  const visibility = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  await vi.advanceTimersByTimeAsync(2000);
  fetched.mockClear();

  await vi.advanceTimersByTimeAsync(60_000);
  expect(fetched).not.toHaveBeenCalled();
  visibility.mockReturnValue("visible");
  document.dispatchEvent(new Event("visibilitychange"));

  expect(fetched).toHaveBeenCalledOnce();
});

test("a server that fails is said, and the rows stay", async () => {
  serve(many(2));
  const { rows, count } = await shown();

  vi.stubGlobal("fetch", async () => new Response("", { status: 500 }));
  await vi.advanceTimersByTimeAsync(2000);

  expect(count()).toBe("not up to date: the server answered 500");
  expect(rows()).toHaveLength(2);
});

test("typing narrows, a heading sorts and turns round, and a title opens its job", async () => {
  serve([running({ job_id: "a", title: "Train" }), running({ job_id: "b", title: "Embed", status: "queued" })]);
  const open = vi.fn();
  const { table, rows, count } = await shown({ status: "", text: "" }, open);
  const [text, head] = [table.el.querySelector("input"), table.el.querySelectorAll<HTMLElement>("[role=columnheader]")];
  if (text === null) throw new Error("no field");

  head[1]?.querySelector("button")?.click();
  expect(rows()).toEqual(["b", "a"]);
  expect(head[1]?.getAttribute("aria-sort")).toBe("ascending");
  head[1]?.querySelector("button")?.click();
  expect(rows()).toEqual(["a", "b"]);
  text.value = "emb";
  text.dispatchEvent(new Event("input"));
  expect(rows()).toEqual(["b"]);
  expect(count()).toBe("1 of 2 jobs");

  table.el.querySelector<HTMLElement>("[data-job] button")?.click();
  expect(open).toHaveBeenCalledOnce();
  expect(open.mock.calls[0]?.[0]).toBe("b");
});

test("what stays as it is stays marked", async () => {
  const from = { origin: { host: "gpu-3" } };
  serve([{ ...running({ job_id: "a" }), ...from }]);
  const { table } = await shown();
  const host = () => table.el.querySelector("[data-job] > :last-child")?.firstChild;
  const before = host();

  await vi.advanceTimersByTimeAsync(2000);

  expect(before?.textContent).toBe("gpu-3");
  expect(host()).toBe(before);
});

test("the focus goes with its job when rows move, and to the table when it is no longer there", async () => {
  const jobs = many(3);
  serve(jobs);
  const { table, rows } = await shown();
  const focused = () => document.activeElement?.closest<HTMLElement>("[data-job]")?.dataset.job;
  table.el.querySelector<HTMLElement>("[data-job=job-1] button")?.focus();

  jobs.unshift(running({ job_id: "new", seq: NOW_US + 1, run: NOW_US + 1 }));
  await vi.advanceTimersByTimeAsync(2000);

  expect(rows()).toEqual(["new", "job-0", "job-1", "job-2"]);
  expect(focused()).toBe("job-1");
  const text = table.el.querySelector("input");
  if (text) text.value = "job-2";
  text?.dispatchEvent(new Event("input"));
  expect(document.activeElement?.getAttribute("role")).toBe("table");
});

test("a saved page has no rows to ask for, and disposing ends all", async () => {
  const fetched = serve(many(3));
  const { table } = await shown();
  FakeSocket.last.accept();
  fetched.mockClear();

  table.dispose();
  await vi.advanceTimersByTimeAsync(60_000);

  expect(fetched).not.toHaveBeenCalled();
  expect(FakeSocket.last.commands("unsubscribe").flatMap(({ job_ids }) => job_ids)).toHaveLength(3);
  expect(vi.getTimerCount()).toBe(0);
  new Table(document, { kind: "saved" }, { status: "", text: "" }, () => {}).dispose();
  expect(fetched).not.toHaveBeenCalled();
});
