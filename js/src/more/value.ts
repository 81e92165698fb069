import { make, put } from "../dom";
import { isObject } from "../protocol";
import { cell, List, Section } from "./list";

/** Most of a value that is written out. */
const CHARS = 4096;
/** A flat object of no more fields, each no longer, is shown as names and values, and everything else as JSON. */
const FIELDS = 24;
const FIELD_CHARS = 80;

export type Pair = readonly [name: string, value: string];

/** Names and values in columns; the last one has a row of its own where it is `wide`. */
export function pairList(doc: Document, parent: HTMLElement): List<Pair> {
  return new List(
    make(doc, "pairs", parent),
    () => {
      const row = make(doc, "pair");
      make(doc, "name", row, "span").dir = "auto";
      make(doc, "value", row, "span").dir = "auto";
      return row;
    },
    (row, [name, value]) => {
      put(cell(row, 0), name);
      put(cell(row, 1), value);
    },
  );
}

/** A text as it is, in a box that scrolls. */
export function textBox(doc: Document, parent: HTMLElement, label: string): HTMLElement {
  const text = make(doc, "text", parent, "pre");
  // A long one scrolls, and must do so for a keyboard, too.
  text.tabIndex = 0;
  text.setAttribute("role", "region");
  text.setAttribute("aria-label", label);
  return text;
}

/** A section with a value that somebody's job gave, of any kind. */
export class Value {
  readonly #section: Section;
  readonly #pairs: List<Pair>;
  readonly #text: HTMLElement;
  #shown: unknown;

  constructor(doc: Document, parent: HTMLElement, heading: string) {
    this.#section = new Section(doc, parent, heading);
    this.#pairs = pairList(doc, this.#section.body);
    this.#text = textBox(doc, this.#section.body, heading);
  }

  draw(value: unknown): void {
    if (value === this.#shown) return;
    this.#shown = value;
    const pairs = pairsOf(value);
    const text = pairs === null ? written(value) : "";
    this.#pairs.draw(pairs ?? []);
    put(this.#text, text);
    this.#section.show(text !== "" || (pairs ?? []).length > 0);
  }
}

/** The fields of an object that is small and flat enough to be read at a glance, or null. */
export function pairsOf(value: unknown): Pair[] | null {
  if (!isObject(value)) return null;
  const pairs = Object.entries(value).map(([name, field]): Pair => [name, oneLine(field)]);
  const short = pairs.every(([name, field]) => name.length + field.length <= FIELD_CHARS && !field.includes("\n"));
  return short && pairs.length <= FIELDS ? pairs : null;
}

function oneLine(field: unknown): string {
  if (Array.isArray(field) && field.every((each) => typeof each !== "object")) return field.join(", ");
  return typeof field === "string" ? field : JSON.stringify(field);
}

function written(value: unknown): string {
  if (value === undefined || value === null) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return text.length > CHARS ? `${text.slice(0, CHARS)}…` : text;
}
