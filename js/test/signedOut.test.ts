import { afterEach, expect, test, vi } from "vitest";
import { signedOut } from "../src/signedOut";

afterEach(() => vi.unstubAllGlobals());

test.each([
  [401, true],
  [200, false],
  [403, false],
  [503, false],
])("a server that answers %d says whether nobody is signed in", async (status, expected) => {
  vi.stubGlobal("fetch", async () => new Response("", { status }));

  expect(await signedOut("/p/")).toBe(expected);
});

test("a server that is away says nothing about who is signed in", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("network")));

  expect(await signedOut("/p/")).toBe(false);
});
