import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connectionTo } from "../src/registry";
import { FakeSocket, fakeWorld, leaveWorld } from "./fakeSocket";

beforeEach(fakeWorld);
afterEach(leaveWorld);

const server = { url: "ws://server/ws/jobs", socketUrl: "ws://server/ws/jobs?token=secret", httpUrl: "http://server/" };
const listener = { state() {}, subscribed() {}, problem() {}, status() {} };

test("all module instances of a page share one connection to a server", async () => {
  const connection = connectionTo(server);
  vi.resetModules();
  const other = await import("../src/registry");

  expect(other.connectionTo !== connectionTo).toBe(true);
  expect(other.connectionTo(server)).toBe(connection);
  expect(other.connectionTo({ ...server, url: "ws://other/ws/jobs" })).not.toBe(connection);
});

test("the token opens the socket", () => {
  connectionTo(server).watch("job-1", listener);

  expect(FakeSocket.last.url).toBe(server.socketUrl);
});

test.each([
  ["online", () => dispatchEvent(new Event("online"))],
  ["pageshow", () => dispatchEvent(new Event("pageshow"))],
  ["visibilitychange", () => document.dispatchEvent(new Event("visibilitychange"))],
])("%s ends the waiting", (_, happen) => {
  connectionTo(server).watch("job-1", listener);
  FakeSocket.last.end(1006);

  happen();

  expect(FakeSocket.all).toHaveLength(2);
});

test("a machine that slept is noticed by the clock that jumped: what is watched is asked for at once", () => {
  connectionTo(server).watch("job-1", listener);
  FakeSocket.last.accept();
  vi.advanceTimersByTime(3000);
  expect(FakeSocket.last.commands("subscribe")).toHaveLength(1);

  vi.setSystemTime(Date.now() + 3_600_000);
  vi.advanceTimersByTime(1001);

  expect(FakeSocket.last.commands("subscribe")).toHaveLength(2);
});
