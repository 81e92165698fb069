import { beforeEach, expect, test, vi } from "vitest";

beforeEach(() => vi.resetModules());

test("a bundle is loaded when it is first asked for, and once", async () => {
  const { loadLive, loadMore, provide } = await import("../src/lazy");
  const { bundle } = await import("../src/live");
  const live = vi.fn(async () => bundle);
  const more = vi.fn(() => Promise.reject(new Error("not asked for")));
  provide({ live, more });
  expect(live).not.toHaveBeenCalled();

  expect(await Promise.all([loadLive(), loadLive()])).toEqual([bundle, bundle]);

  expect(live).toHaveBeenCalledOnce();
  expect(more).not.toHaveBeenCalled();
  await expect(loadMore()).rejects.toThrow("not asked for");
});

test("after a failure the next call tries again", async () => {
  const { loadLive, provide } = await import("../src/lazy");
  const { bundle } = await import("../src/live");
  const live = vi.fn(async () => bundle).mockRejectedValueOnce(new Error("offline"));
  provide({ live, more: () => Promise.reject(new Error()) });

  await expect(loadLive()).rejects.toThrow("offline");

  expect(await loadLive()).toBe(bundle);
});

test("without an entry that provides them it is said which is missing", async () => {
  const { loadMore } = await import("../src/lazy");

  await expect(loadMore()).rejects.toThrow("more");
});
