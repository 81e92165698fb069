import { expect, test } from "vitest";
import { List, Section } from "../src/more/list";

test("rows are made once and changed in place, and those too many go", () => {
  const el = document.createElement("div");
  const list = new List<string>(
    el,
    () => document.createElement("p"),
    (row, item) => {
      row.textContent = item;
    },
  );
  list.draw(["a", "b"]);
  const [first] = el.children;

  list.draw(["c"]);
  expect([...el.children].map((row) => row.textContent)).toEqual(["c"]);
  expect(el.children[0]).toBe(first);
  list.draw(["c", "d", "e"]);
  expect(el.textContent).toBe("cde");
  list.draw([]);
  expect(el.children).toHaveLength(0);
});

test("a section has a name for machines, and is hidden until it has something to say", () => {
  const parent = document.createElement("div");
  const section = new Section(document, parent, "Metrics");
  expect(section.el.hidden).toBe(true);

  section.show(true);

  expect(section.el.hidden).toBe(false);
  expect(section.el.getAttribute("role")).toBe("group");
  expect(section.el.getAttribute("aria-label")).toBe("Metrics");
  expect(parent.textContent).toBe("Metrics");
});
