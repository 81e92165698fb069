import { type Card, lastLine } from "./describe";
import { attribute, make, put, styleRoot } from "./dom";
import { makeSign, setShape, setTrack } from "./shapes";
import css from "./style.css?inline";

/** Newest metrics that stand where a message would. */
const METRICS = 3;

/** How long the style sheet lets a step of the bar take. */
const EASE_MS = 300;

/** Put the style sheet of the lines into the document or shadow root of an element. */
export const styleLines = (el: Element): void => styleRoot(el, css, "style");

/** The line of one job, and the place for its details. Draws what it is given; knows no socket, no state, no clock. */
export class CardView {
  readonly el: HTMLElement;
  /** Where the details go. */
  readonly panel: HTMLElement;
  readonly #sign: SVGElement;
  readonly #title: HTMLElement;
  readonly #stage: HTMLElement;
  readonly #track: HTMLElement;
  readonly #percent: HTMLElement;
  readonly #word: HTMLElement;
  readonly #note: HTMLElement;
  readonly #facts: HTMLElement;
  readonly #message: HTMLElement;
  readonly #error: HTMLElement;
  readonly #host: HTMLElement;
  readonly #button: HTMLElement;
  readonly #live: HTMLElement;
  #ended: boolean | null = null;
  #movedMs = 0;

  /** `opened` is called when somebody opens or closes the details. */
  constructor(
    private readonly doc: Document,
    opened: (open: boolean) => void = () => {},
  ) {
    this.el = make(doc, "card");
    const row = make(doc, "row", this.el);
    this.#sign = makeSign(doc);
    row.append(this.#sign);
    const name = make(doc, "head", row);
    this.#title = make(doc, "title", name);
    this.#stage = make(doc, "stage", name);
    this.#track = make(doc, "track", row);
    make(doc, "fill", this.#track);
    this.#percent = make(doc, "percent", row);
    const line = make(doc, "line", row);
    const words = make(doc, "words", line);
    const status = make(doc, "status", words);
    this.#word = make(doc, "word", status, "span");
    this.#note = make(doc, "note", status, "span");
    this.#error = make(doc, "error", words);
    this.#message = make(doc, "message", words);
    this.#facts = make(doc, "facts", words);
    this.#host = make(doc, "host", line);
    this.#button = make(doc, "open", row, "button");
    this.panel = make(doc, "panel", this.el);
    this.panel.hidden = true;
    this.#live = make(doc, "spoken", this.el);
    attribute(this.#track, "role", "progressbar");
    attribute(this.#track, "aria-valuemin", "0");
    attribute(this.#track, "aria-valuemax", "100");
    attribute(this.#live, "aria-live", "polite");
    // Texts of people may run from right to left in a page that runs from left to right, and the other way round.
    for (const el of [this.#title, this.#stage, status, this.#message, this.#error]) el.dir = "auto";
    attribute(this.#button, "type", "button");
    attribute(this.#button, "aria-expanded", "false");
    this.#button.addEventListener("click", () => opened(this.toggle()));
  }

  /** Open or close the details, and answer whether they are open. */
  toggle(): boolean {
    const open = this.panel.hidden;
    this.panel.hidden = !open;
    attribute(this.#button, "aria-expanded", String(open));
    return open;
  }

  draw(card: Card): void {
    setShape(this.#sign, card.shape);
    attribute(this.el, "data-tone", card.tone);
    this.#named(this.#title, card.title);
    this.#named(this.#stage, card.stage);
    attribute(this.#button, "aria-label", `Details of ${card.title}`);
    put(this.#percent, card.ended ? "" : card.percent);
    this.#drawBar(card);
    put(this.#word, card.word);
    put(this.#note, card.note && ` · ${card.note}`);
    this.#drawFacts(card.facts);
    this.#named(this.#error, lastLine(card.error));
    this.#named(this.#message, card.message || (card.error ? "" : newest(card.metrics)));
    this.#named(this.#host, card.host);
    // What had ended before anything was heard of it is no news, and a notebook may hold many of them.
    if (this.#ended === false && card.ended) {
      this.#live.textContent = [card.title, card.word, ...card.facts].join(" ");
    } else if (!card.ended) this.#live.textContent = "";
    this.#ended = card.shape === "connecting" ? null : card.ended;
  }

  /** A text that may be cut, and is whole when it is pointed at. */
  #named(el: HTMLElement, text: string): void {
    put(el, text);
    attribute(el, "title", text || null);
  }

  #drawBar(card: Card): void {
    const { fraction } = card;
    attribute(this.#track, "aria-label", card.title);
    attribute(this.#track, "aria-valuenow", fraction === null ? null : String(Math.floor(fraction * 100 + 1e-9)));
    attribute(this.#track, "aria-valuetext", [card.percent, card.word, card.note].filter(Boolean).join(", "));
    const moved = setTrack(this.#track, card);
    if (moved === null) return;
    // Many small steps are smooth by themselves. To ease each would keep the browser drawing between them, too.
    const nowMs = performance.now();
    moved.transition = nowMs - this.#movedMs < EASE_MS ? "none" : "";
    this.#movedMs = nowMs;
  }

  #drawFacts(facts: Card["facts"]): void {
    // One element for each, so that the place of the last is empty where it does not fit, and none is cut.
    const { children } = this.#facts;
    while (children.length > facts.length) this.#facts.lastElementChild?.remove();
    facts.forEach((fact, index) => {
      const el = (children[index] as HTMLElement | undefined) ?? make(this.doc, "fact", this.#facts);
      el.dir = "auto";
      put(el, fact);
    });
    this.#facts.hidden = facts.length === 0;
  }
}

function newest(metrics: Card["metrics"]): string {
  return metrics
    .slice(0, METRICS)
    .map((pair) => pair.join(" "))
    .join(" · ");
}
