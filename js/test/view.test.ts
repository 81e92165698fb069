import { afterEach, beforeEach, expect, test } from "vitest";
import type { Card } from "../src/describe";
import { CardView, styleLines } from "../src/view";
import { leaveWorld } from "./fakeSocket";

const card: Card = {
  title: "Train",
  stage: "epoch 3",
  word: "Running",
  note: "",
  shape: "processing",
  tone: "active",
  fraction: 0.42,
  percent: "42%",
  facts: ["420 rows", "1:05 elapsed"],
  message: "falling",
  error: "",
  metrics: [["loss", "0.123"]],
  host: "gpu-3",
  ended: false,
  moving: true,
};
const ended: Card = {
  ...card,
  word: "Completed",
  shape: "completed",
  tone: "good",
  fraction: 1,
  facts: ["in 1:05"],
  ended: true,
  moving: false,
};

let view: CardView;
const part = (name: string) => view.el.querySelector<HTMLElement>(`.jobprogress-${name}`);
const text = (name: string) => part(name)?.textContent;

beforeEach(() => {
  view = new CardView(document);
});
afterEach(leaveWorld);

test("everything of the card is on the page, as text", () => {
  const evil = "<img src=x onerror=alert(1)>";

  view.draw({ ...card, title: evil, message: evil, error: evil, metrics: [[evil, evil]], facts: [evil], stage: evil });

  expect(view.el.querySelector("img")).toBeNull();
  for (const name of ["title", "stage", "message", "error", "fact"]) expect(text(name)).toBe(evil);
});

test("the bar tells a screen reader what the eye sees", () => {
  view.draw({ ...card, note: "no progress for 1:05" });
  const bar = view.el.querySelector('[role="progressbar"]');

  expect(bar?.getAttribute("aria-label")).toBe("Train");
  expect(bar?.getAttribute("aria-valuenow")).toBe("42");
  expect(bar?.getAttribute("aria-valuetext")).toBe("42%, Running, no progress for 1:05");
  expect(part("status")?.textContent).toBe("Running · no progress for 1:05");
});

test("an unknown progress has no value, and moves only while the job is heard of", () => {
  view.draw({ ...card, fraction: null, percent: "" });
  expect(part("track")?.dataset.unknown).toBe("moving");
  expect(part("track")?.hasAttribute("aria-valuenow")).toBe(false);

  view.draw({ ...card, fraction: null, percent: "", tone: "warn", moving: false });
  expect(part("track")?.dataset.unknown).toBe("");

  view.draw({ ...card, fraction: null, percent: "", tone: "off", shape: "queued", moving: false });
  expect(part("fill")?.style.transform).toBe("scaleX(0)");
  expect(part("track")?.dataset.unknown).toBeUndefined();
});

test("the newest metrics stand where there is no message", () => {
  view.draw({ ...card, message: "", metrics: Array.from({ length: 20 }, (_, index) => [`m${index}`, "1"] as const) });

  expect(text("message")).toBe("m0 1 · m1 1 · m2 1");
});

test("a long error is one line, the one that says what went wrong", () => {
  view.draw({ ...ended, shape: "failed", error: "Traceback\n  File\nValueError: no\n" });

  expect(text("error")).toBe("ValueError: no");
});

test("facts come and go, and an end says no percentage", () => {
  view.draw(card);
  view.draw(ended);
  expect(view.el.querySelectorAll(".jobprogress-fact")).toHaveLength(1);
  expect(text("percent")).toBe("");
  expect(part("fill")?.style.transform).toBe("scaleX(1)");

  view.draw({ ...card, facts: ["1 row", "2 rows", "3 rows"] });
  expect(part("line")?.textContent).toBe("Runningfalling1 row2 rows3 rowsgpu-3");
});

test("every shape is drawn by a path of its own", () => {
  const shapes = ["queued", "processing", "quiet", "stalled", "lost", "completed", "failed", "cancelled", "waiting"];
  const others = ["expired", "connecting", "reconnecting", "unreachable", "unauthorized", "forbidden", "refused"];
  const paths = [...shapes, ...others, "store_down", "saved"].map((shape) => {
    view.draw({ ...card, shape: shape as Card["shape"] });
    return view.el.querySelector("path")?.getAttribute("d");
  });

  expect(new Set(paths).size).toBe(18);
});

test("the button opens and closes the details, and says so", () => {
  const opened: boolean[] = [];
  view = new CardView(document, (open) => opened.push(open));
  view.draw(card);
  const button = part("open");

  button?.click();
  expect(button?.getAttribute("aria-expanded")).toBe("true");
  button?.click();

  expect(opened).toEqual([true, false]);
  expect(view.panel.hidden).toBe(true);
});

test("an end is spoken once, and not where it was there before anything was heard of the job", () => {
  view.draw(card);
  view.draw(ended);
  expect(part("spoken")?.getAttribute("aria-live")).toBe("polite");
  expect(text("spoken")).toBe("Train Completed in 1:05");

  view = new CardView(document);
  view.draw({ ...card, shape: "connecting" });
  view.draw(ended);
  expect(text("spoken")).toBe("");
});

test("the style sheet is put into each root once", () => {
  const host = document.createElement("div");
  document.body.append(host, document.createElement("div"));
  const inside = document.createElement("div");
  host.attachShadow({ mode: "open" }).append(inside);

  for (let time = 0; time < 2; time++) for (const el of [document.body, inside, view.el]) styleLines(el);

  expect(document.head.querySelectorAll("style")).toHaveLength(1);
  expect(host.shadowRoot?.querySelectorAll("style")).toHaveLength(1);
  expect(document.head.querySelector("style")?.textContent).toContain(".jobprogress-card");
});
