import { expect, test } from "vitest";
import { describe } from "../src/describe";
import { reduce } from "../src/reducer";
import { snapshot } from "../src/snapshot";
import { completed, running } from "./fakeSocket";

const card = (state: Parameters<typeof reduce>[1]) =>
  describe("job-1", reduce(null, state, null), { link: "live", nowUs: null, locale: "en" });

test("a card is left as a title, a bar, a word and a message", () => {
  const { html, text } = snapshot(document, [card(completed({ title: "Train", message: "saved", stage: "end" }))]);

  expect(html).toBe(
    '<div><div><strong>Train</strong> <progress max="1" value="1"></progress> Completed 100% · end<div>saved</div></div></div>',
  );
  expect(text).toBe("Train: Completed 100% · end · saved");
});

test("texts are escaped", () => {
  const evil = "</pre><script>alert(1)</script>";
  const { html } = snapshot(document, [card(running({ status: "failed", title: evil, error: evil, message: evil }))]);

  expect(html).not.toContain("<script>");
  expect(html).toContain("&lt;script&gt;");
});

test("several jobs are several lines", () => {
  const { text } = snapshot(document, [card(completed()), card(running({ status: "cancelled" }))]);

  expect(text).toBe("job-1: Completed 100%\njob-1: Cancelled · at 42%");
});
