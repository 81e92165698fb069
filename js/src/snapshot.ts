import type { Card } from "./describe";

/** What stays of a card where no script runs: a saved page, GitHub, nbconvert. */
export interface Snapshot {
  readonly html: string;
  readonly text: string;
}

/** Write cards as static HTML and as text. The markup is made of nodes, so that the DOM does the escaping. */
export function snapshot(doc: Document, cards: readonly Card[]): Snapshot {
  const board = doc.createElement("div");
  for (const card of cards) board.append(staticCard(doc, card));
  return { html: board.outerHTML, text: cards.map(line).join("\n") };
}

function staticCard(doc: Document, card: Card): HTMLElement {
  const el = doc.createElement("div");
  const add = (tag: string, text: string) => {
    if (text === "") return;
    const child = doc.createElement(tag);
    child.textContent = text;
    el.append(child);
  };
  add("strong", card.title);
  if (card.fraction !== null) {
    const bar = doc.createElement("progress");
    bar.setAttribute("max", "1");
    bar.setAttribute("value", String(card.fraction));
    el.append(" ", bar);
  }
  el.append(" ", summary(card));
  add("div", card.message);
  add("pre", card.error);
  return el;
}

function summary(card: Card): string {
  const percent = card.facts.some((fact) => fact.endsWith(card.percent)) ? "" : card.percent;
  return [[card.word, percent].filter(Boolean).join(" "), card.stage, ...card.facts].filter(Boolean).join(" · ");
}

function line(card: Card): string {
  return `${card.title}: ${[summary(card), card.error || card.message].filter(Boolean).join(" · ")}`;
}
