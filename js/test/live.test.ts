import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fakeWorld, jupyterPage, leaveWorld } from "./fakeSocket";

beforeEach(() => {
  vi.resetModules(); // what is known of servers is kept for a whole page
  fakeWorld();
});
afterEach(leaveWorld);

const choose = async (inKernel = false) => (await import("../src/live")).bundle.chooseSource(document, "", inKernel);

function answer(respond: () => Response | Promise<Response>) {
  const fetched = vi.fn(async (_url: string, _request?: RequestInit) => respond());
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

test("a page without a server, and a job that no server knows, are the kernel's", async () => {
  expect(await choose()).toMatchObject({ kind: "relay", why: "this page has no Jupyter server." });
  jupyterPage();
  expect(await choose(true)).toMatchObject({ kind: "relay", why: "no server knows this job." });
});

test("a server is asked once a page whether it serves jobs", async () => {
  jupyterPage();
  const fetched = answer(() => Response.json({ status: "ok" }));

  const sources = await Promise.all([choose(), choose()]);

  expect(sources.map(({ kind }) => kind)).toEqual(["server", "server"]);
  expect(fetched).toHaveBeenCalledOnce();
  expect(fetched.mock.calls[0]?.[0]).toMatch(/\/user\/ann\/jobprogress\/health\?no_track_activity=1$/);
});

test.each([
  ["has no such path", () => new Response("", { status: 404 })],
  ["answers with a page of its own", () => new Response("<html>")],
])("a server that %s is not ours: the kernel brings the states", async (_, respond) => {
  jupyterPage();
  answer(respond);

  expect(await choose()).toMatchObject({ kind: "relay", why: expect.stringContaining("not enabled") });
});

test.each([
  ["is away", () => Promise.reject(new TypeError("fetch failed"))],
  ["does not let us in", () => new Response("", { status: 403 })],
])("a server that %s may be ours: the connection finds out, and says so", async (_, respond) => {
  jupyterPage();
  answer(respond);

  expect((await choose()).kind).toBe("server");
});

test("a saved output without a server asks nobody", async () => {
  const fetched = answer(() => Response.json({}));

  expect((await import("../src/live")).bundle.findSource(document, "")).toEqual({ kind: "saved" });
  expect(fetched).not.toHaveBeenCalled();
});
