import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { StoreClock } from "../src/clock";
import { Table } from "../src/more/table";
import { fakeWorld, leaveWorld, NOW_US, running } from "./fakeSocket";

beforeEach(fakeWorld);
afterEach(leaveWorld);

test("a table of the kernel asks no server, says that it knows no job yet, and shows and opens what it is told", () => {
  const fetched = vi.fn();
  vi.stubGlobal("fetch", fetched);
  // happy-dom has none.
  vi.stubGlobal("Option", function option(text: string, value: string) {
    return Object.assign(document.createElement("option"), { textContent: text, value });
  });
  const clock = new StoreClock(() => performance.now());
  const open = vi.fn();
  const table = new Table(document, { kind: "relay", clock }, { status: "", text: "" }, open);
  document.body.append(table.el);
  table.draw();
  const count = () => table.el.querySelector("[role=status]")?.textContent;
  expect(count()).toBe("no jobs yet");

  const state = running({ progress: 0.4 });
  table.relay(state);
  vi.advanceTimersByTime(1000);

  expect(count()).toBe("1 job");
  expect(table.el.querySelector("[data-job=job-1]")?.textContent).toContain("40%");
  expect(clock.nowUs()).toBeGreaterThanOrEqual(NOW_US);
  table.el.querySelector<HTMLElement>("[data-job=job-1] button")?.click();
  expect(open).toHaveBeenCalledWith("job-1", expect.objectContaining({ job_id: "job-1", progress: 0.4 }));
  expect(fetched).not.toHaveBeenCalled();
  table.dispose();
});
