import { type Card, lastLine } from "../describe";
import { attribute, make, put } from "../dom";
import type { Job } from "../job";
import { makeSign, setShape, setTrack } from "../shapes";
import { cell, List, Section } from "./list";

/** Parts that are listed before somebody asks for all. */
const FEW = 10;
const ORDER: Readonly<Record<string, number>> = { failed: 0, lost: 1, stalled: 2, completed: 8, cancelled: 7 };
const MIDDLE = 4;

/** Failed ones first, then the slowest; what is done comes last. */
export function sortParts(cards: readonly Card[]): Card[] {
  const rank = (card: Card) => ORDER[card.shape] ?? MIDDLE;
  return [...cards].sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (a.fraction ?? 0) - (b.fraction ?? 0) ||
      a.title.localeCompare(b.title, undefined, { numeric: true }),
  );
}

/** What is asked of a part first: when it will be done, or else how far it is or how it went. */
function when({ facts }: Card): string | undefined {
  return facts.find((fact) => fact.includes(" left")) ?? facts[0];
}

/** The parts of a job, each in a row. */
export class Parts {
  readonly #section: Section;
  readonly #list: List<Card>;
  readonly #more: HTMLElement;
  #all = false;

  constructor(
    private readonly doc: Document,
    parent: HTMLElement,
    private readonly job: Job,
  ) {
    this.#section = new Section(doc, parent, "Parts");
    this.#list = new List(
      make(doc, "parts", this.#section.body),
      () => this.#row(),
      (row, card) => this.#change(row, card),
    );
    this.#more = make(doc, "button", this.#section.body, "button");
    this.#more.setAttribute("type", "button");
    this.#more.addEventListener("click", () => {
      this.#all = !this.#all;
      this.draw();
    });
  }

  draw(): void {
    const family = this.job.family;
    this.#section.show(family !== null && family.jobs.size > 0);
    if (family === null) return;
    const cards = sortParts([...family.jobs.values()].map((job) => job.card()));
    const shown = this.#all ? cards : cards.slice(0, FEW);
    this.#list.draw(shown);
    const rest = cards.length - shown.length + family.hidden;
    put(this.#more, cards.length <= FEW ? "" : this.#all ? `Show ${FEW} of them` : `Show ${rest} more`);
  }

  #row(): HTMLElement {
    const row = make(this.doc, "part");
    row.append(makeSign(this.doc));
    make(this.doc, "title", row).dir = "auto";
    const track = make(this.doc, "track", row);
    make(this.doc, "fill", track);
    make(this.doc, "percent", row);
    make(this.doc, "line", row);
    return row;
  }

  #change(row: HTMLElement, card: Card): void {
    attribute(row, "data-tone", card.tone);
    attribute(row, "data-shape", card.shape);
    setShape(row.firstElementChild as SVGElement, card.shape);
    put(cell(row, 1), card.title);
    attribute(cell(row, 1), "title", card.title);
    setTrack(cell(row, 2), card);
    put(cell(row, 3), card.percent);
    const said = [card.word, card.note, lastLine(card.error) || when(card)];
    put(cell(row, 4), said.filter(Boolean).join(" · "));
  }
}
