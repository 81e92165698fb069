import { type Card, lastLine, type Tone } from "./describe";

/** What stays of a card where no script runs: a saved page, GitHub, nbconvert. */
export interface Snapshot {
  readonly html: string;
  readonly text: string;
}

/** A page may be light or dark: on white each has a contrast of 4.5 at least, on black of 4. */
const COLOURS: Readonly<Partial<Record<Tone, string>>> = { active: "#1976d2", good: "#278533", bad: "#d93838" };
const OFF = "#737373";

/**
 * Write cards as static HTML and as text, as `widget/snapshot.py` does.
 *
 * The markup is made of nodes, so that the DOM does the escaping. GitHub takes all styles away, so that the texts have to
 * be read without them. No `<progress>`, which nbconvert shows as a text where it has to sanitize.
 */
export function snapshot(doc: Document, cards: readonly Card[]): Snapshot {
  const board = element(doc, "div", { style: "font-family:system-ui,sans-serif;font-size:13px;max-width:720px" });
  for (const card of cards) board.append(staticCard(doc, card));
  return { html: board.outerHTML, text: cards.map(line).join("\n") };
}

function element(doc: Document, tag: string, attributes: Readonly<Record<string, string>>): HTMLElement {
  const el = doc.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value) el.setAttribute(name, value);
  return el;
}

function staticCard(doc: Document, card: Card): HTMLElement {
  const colour = COLOURS[card.tone] ?? OFF;
  const el = element(doc, "div", { style: "margin:6px 0" });
  const row = (parent: HTMLElement, style = ""): HTMLElement => {
    const div = element(doc, "div", { style });
    parent.append(div);
    return div;
  };
  const say = (parent: HTMLElement, tag: string, text: string, style = ""): void => {
    // By `dir` a text that turns the direction of writing does not turn the others.
    const said = element(doc, tag, { dir: "auto", style });
    said.textContent = text;
    if (text) parent.append(parent.childElementCount > 0 && tag === "span" ? " · " : "", said);
  };
  const head = row(el);
  say(head, "strong", card.title);
  say(head, "span", card.word, `color:${colour};font-weight:600`);
  if (card.fraction !== null) {
    const track = row(el, "margin:4px 0;background-color:#8883");
    row(track, `width:${(card.fraction * 100).toFixed(1)}%;height:6px;background-color:${colour}`);
  }
  const facts = factsOf(card);
  if (facts.length > 0) {
    const said = row(el, "opacity:.75");
    for (const fact of facts) say(said, "span", fact);
  }
  say(el, "div", card.message, "white-space:pre-wrap");
  say(el, "pre", card.error, `margin:4px 0;font-family:monospace;white-space:pre-wrap;color:${colour}`);
  return el;
}

const factsOf = ({ stage, facts }: Card) => [stage, ...facts].filter(Boolean);

function line(card: Card): string {
  const said = [card.word, ...factsOf(card), card.message, lastLine(card.error)];
  return `${card.title}: ${said.filter(Boolean).join(" · ")}`.split(/\s*\n\s*/).join(" ");
}
