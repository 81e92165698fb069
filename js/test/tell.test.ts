import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Card, describe } from "../src/describe";
import { tell } from "../src/more/tell";
import type { State } from "../src/protocol";
import { reduce } from "../src/reducer";
import { isWanted, want } from "../src/wanted";
import { completed, leaveWorld } from "./fakeSocket";

const shown = vi.fn();
const badged = vi.fn(async (_ends?: number) => {});

beforeEach(() => {
  class Notice {
    static readonly permission = "granted";
    constructor(...said: unknown[]) {
      shown(...said);
    }
  }
  vi.stubGlobal("Notification", Notice);
  vi.stubGlobal("navigator", { setAppBadge: badged, clearAppBadge: () => badged() });
  document.title = "Lab";
  look("hidden");
});
afterEach(() => {
  look("visible");
  shown.mockClear();
  badged.mockClear();
  leaveWorld();
});

function look(state: DocumentVisibilityState): void {
  vi.spyOn(document, "visibilityState", "get").mockReturnValue(state);
  document.dispatchEvent(new Event("visibilitychange"));
}

function card(fields: Partial<State>): Card {
  return describe("job-1", reduce(null, completed(fields), null), { link: "live", nowUs: null, locale: "en" });
}

const icon = () => decodeURIComponent(document.head.querySelector<HTMLLinkElement>("link[rel=icon]")?.href ?? "");

test("the end is told to who asked, where nobody looks: by a silent notification, the title and the icon of the tab", () => {
  want("job-1", true);

  tell(document, "job-1", card({ title: "Train" }));

  expect(shown.mock.calls[0]).toMatchObject(["Train: Completed", { silent: true, tag: "job-1" }]);
  expect(document.title).toBe("Completed: Train");
  expect(icon()).toContain("#2e7d32");
  expect(badged).toHaveBeenLastCalledWith(1);
  expect(isWanted("job-1")).toBe(false);
  look("visible");
  expect(document.title).toBe("Lab");
  expect(icon()).toBe("");
  expect(badged).toHaveBeenLastCalledWith();
});

test("of two ends in one hidden tab both are told, the worse one stays on the icon, and the title comes back", () => {
  tell(document, "job-1", card({ title: "Train", status: "failed" }));
  tell(document, "job-2", card({ title: "Embed" }));

  expect(document.title).toBe("Completed: Embed (+1)");
  expect(icon()).toContain("#c62828");
  expect(document.head.querySelectorAll("link")).toHaveLength(1);
  expect(badged).toHaveBeenLastCalledWith(2);
  look("visible");

  expect(document.title).toBe("Lab");
  look("hidden");
  tell(document, "job-3", card({ title: "Next" }));
  expect(document.title).toBe("Completed: Next");
});

test("a title that the page has changed meanwhile stays", () => {
  tell(document, "job-1", card({ title: "Train" }));
  document.title = "Other notebook";

  look("visible");

  expect(document.title).toBe("Other notebook");
});

test("where only a service worker may notify, the title and the icon tell it", () => {
  shown.mockImplementationOnce(() => {
    throw new TypeError("Illegal constructor");
  });

  tell(document, "job-1", card({ title: "Train" }));

  expect(document.title).toBe("Completed: Train");
  expect(icon()).toContain("#2e7d32");
});

test("somebody who looks is told by the bar alone", () => {
  look("visible");

  tell(document, "job-1", card({ title: "Train" }));

  expect(shown).not.toHaveBeenCalled();
  expect(document.title).toBe("Lab");
  expect(icon()).toBe("");
});
