import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Board } from "../src/board";
import { completed, connect, FakeSocket, fakeWorld, leaveWorld, NOW_US, running } from "./fakeSocket";

beforeEach(fakeWorld);
afterEach(leaveWorld);

function shown(changed = () => {}) {
  const board = new Board(document, { kind: "server", connection: connect() }, changed);
  document.body.append(board.el);
  return board;
}

const titles = (board: Board) => [...board.el.querySelectorAll(".jobprogress-title")].map((el) => el.textContent);

test("cards stand in the order of their ids, and running ones go on when the list changes", () => {
  const board = shown();
  board.show(["job-1", "job-2"], {});
  FakeSocket.last.accept();
  const card = board.el.children[0];

  board.show(["job-3", "job-1"], {});
  vi.advanceTimersByTime(0);

  expect(titles(board)).toEqual(["job-3", "job-1"]);
  expect(board.el.children[1]).toBe(card);
  expect(FakeSocket.last.commands("unsubscribe")).toEqual([{ type: "unsubscribe", job_ids: ["job-2"] }]);
  expect(FakeSocket.last.commands("subscribe").at(-1)).toMatchObject({ job_ids: ["job-3"] });
});

test("a list that is shown again leaves the cards and the focus where they are", async () => {
  const board = shown();
  board.show(["job-1", "job-2"], {});
  FakeSocket.last.accept();
  const button = board.el.querySelectorAll("button")[1];
  button?.focus();
  const moved = vi.fn();
  const watching = new MutationObserver(moved);
  watching.observe(board.el, { childList: true });

  board.show(["job-1", "job-2"], { "job-2": completed({ job_id: "job-2" }) });
  await vi.advanceTimersByTimeAsync(20);

  expect(document.activeElement).toBe(button);
  expect(moved).not.toHaveBeenCalled();
  watching.disconnect();
});

test("many states between two frames are drawn once, the newest of them", () => {
  const board = shown();
  board.show(["job-1"], {});
  FakeSocket.last.accept({ "job-1": running() });
  const percent = () => board.el.querySelector(".jobprogress-percent")?.textContent;

  for (let step = 1; step <= 5; step++) FakeSocket.last.say(running({ seq: NOW_US + step, progress: step / 10 }));
  expect(percent()).toBe("");
  vi.advanceTimersByTime(20);

  expect(percent()).toBe("50%");
});

test("a running card ticks once a second, an ended one not at all", () => {
  const board = shown();
  board.show(["job-1"], {});
  FakeSocket.last.accept({ "job-1": running({ started_at: new Date(NOW_US / 1000).toISOString() }) });

  vi.advanceTimersByTime(65_500);
  expect(board.el.textContent).toContain("1:05 elapsed");

  FakeSocket.last.say(completed());
  vi.advanceTimersByTime(20);
  const html = board.el.innerHTML;
  vi.advanceTimersByTime(5000);
  expect(board.el.innerHTML).toBe(html);
});

test("a busy card does not keep its neighbour from ticking", () => {
  const board = shown();
  board.show(["job-1", "job-2"], {});
  const started_at = new Date(NOW_US / 1000).toISOString();
  FakeSocket.last.accept({ "job-2": running({ job_id: "job-2", started_at }) });

  for (let step = 1; step <= 55; step++) {
    vi.advanceTimersByTime(100);
    FakeSocket.last.say(running({ seq: NOW_US + step }));
  }

  expect(board.el.children[1]?.textContent).toContain("0:05 elapsed");
});

test("a hidden page draws nothing, hears everything, and catches up when it is seen", () => {
  const changed = vi.fn();
  const board = shown(changed);
  board.show(["job-1"], {});
  FakeSocket.last.accept({ "job-1": running() });
  vi.advanceTimersByTime(20);
  const visibility = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  vi.stubGlobal("requestAnimationFrame", () => 1);

  FakeSocket.last.say(completed());
  vi.advanceTimersByTime(5000);
  expect(board.el.textContent).not.toContain("Completed");
  expect(board.ended).toBe(true);
  expect(changed).toHaveBeenCalled();

  visibility.mockReturnValue("visible");
  document.dispatchEvent(new Event("visibilitychange"));
  expect(board.el.textContent).toContain("Completed");
});

test("disposing leaves the connection, the timers and the page", () => {
  const board = shown();
  board.show(["job-1"], {});
  FakeSocket.last.accept({ "job-1": running() });

  board.dispose();
  vi.advanceTimersByTime(5000);

  expect(FakeSocket.last.closedBy).not.toBeNull();
  expect(vi.getTimerCount()).toBe(0);
  expect(document.body.children).toHaveLength(0);
});
