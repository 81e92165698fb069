import type { Card } from "./describe";
import css from "./style.css?inline";

const PREFIX = "jobprogress-";
const CHIPS = 12;

/** Put our style sheet into the document or shadow root of an element, once. Detached elements count as the document's. */
export function styleRoot(el: Element): void {
  const root = el.getRootNode();
  const scope = root instanceof ShadowRoot ? root : el.ownerDocument.head;
  if (scope.querySelector(`style[data-${PREFIX}style]`) !== null) return;
  const style = el.ownerDocument.createElement("style");
  style.setAttribute(`data-${PREFIX}style`, "");
  style.textContent = css;
  scope.append(style);
}

// Assigning the same value again would still cost a layout, and make screen readers speak.
function put(el: HTMLElement, text: string): void {
  if (el.textContent !== text) el.textContent = text;
  el.hidden = text === "";
}

function attribute(el: Element, name: string, value: string | null): void {
  if (value === null) el.removeAttribute(name);
  else if (el.getAttribute(name) !== value) el.setAttribute(name, value);
}

/** The card of one job. Draws what it is given; knows no socket, no state and no clock. */
export class CardView {
  readonly el: HTMLElement;
  readonly #title: HTMLElement;
  readonly #stage: HTMLElement;
  readonly #percent: HTMLElement;
  readonly #track: HTMLElement;
  readonly #fill: HTMLElement;
  readonly #line: HTMLElement;
  readonly #word: HTMLElement;
  readonly #note: HTMLElement;
  readonly #facts: HTMLElement[] = [];
  readonly #message: HTMLElement;
  readonly #chips: HTMLElement;
  readonly #error: HTMLElement;
  readonly #live: HTMLElement;
  #ended: boolean | null = null;

  constructor(private readonly doc: Document) {
    this.el = this.#make("card");
    const head = this.#make("head", this.el);
    this.#title = this.#make("title", head);
    this.#stage = this.#make("stage", head);
    this.#percent = this.#make("percent", head);
    this.#track = this.#make("track", this.el);
    this.#fill = this.#make("fill", this.#track);
    this.#line = this.#make("line", this.el);
    const status = this.#make("status", this.#line);
    this.#word = this.#make("word", status, "span");
    this.#note = this.#make("note", status, "span");
    this.#message = this.#make("message", this.el);
    this.#chips = this.#make("chips", this.el);
    this.#error = this.#make("error", this.el, "pre");
    this.#live = this.#make("spoken", this.el);
    this.#track.setAttribute("role", "progressbar");
    this.#track.setAttribute("aria-valuemin", "0");
    this.#track.setAttribute("aria-valuemax", "100");
    this.#live.setAttribute("aria-live", "polite");
    // A long traceback scrolls, and must do so for a keyboard, too.
    this.#error.tabIndex = 0;
    this.#error.setAttribute("aria-label", "Error");
  }

  draw(card: Card): void {
    attribute(this.el, "data-tone", card.tone);
    attribute(this.el, "data-ended", String(card.ended));
    this.#drawHead(card);
    this.#drawBar(card);
    put(this.#word, card.word);
    put(this.#note, card.note && ` · ${card.note}`);
    attribute(this.#line, "title", card.hint || null);
    this.#drawFacts(card.facts);
    put(this.#message, card.message);
    attribute(this.#message, "title", card.message || null);
    // An ended job says all that it has to say in one line.
    if (this.#ended !== card.ended) {
      if (card.ended) this.#line.append(this.#message);
      else this.#line.after(this.#message);
    }
    this.#drawChips(card.metrics);
    put(this.#error, card.error);
    // What had ended before it was first drawn is no news, and a notebook may hold many of them.
    if (this.#ended === false && card.ended) {
      this.#live.textContent = [card.title, card.word, ...card.facts].join(" ");
    } else if (!card.ended) this.#live.textContent = "";
    this.#ended = card.ended;
  }

  #drawHead(card: Card): void {
    put(this.#title, card.title);
    attribute(this.#title, "title", card.title);
    put(this.#stage, card.stage);
    attribute(this.#stage, "title", card.stage || null);
    put(this.#percent, card.ended ? "" : card.percent);
  }

  #drawBar(card: Card): void {
    const { fraction } = card;
    // Grey stripes would look like a finished bar where there is merely nothing to show.
    const striped = fraction === null && !card.ended && card.tone !== "off";
    attribute(this.#track, "data-unknown", String(striped));
    attribute(this.#track, "data-moving", String(card.moving));
    attribute(this.#track, "aria-label", card.title);
    attribute(this.#track, "aria-valuenow", fraction === null ? null : String(Math.floor(fraction * 100 + 1e-9)));
    attribute(this.#track, "aria-valuetext", [card.percent, card.word, card.note].filter(Boolean).join(", "));
    // A scale needs no layout, unlike a width: the browser moves the bar without looking at the page again.
    const scale = `scaleX(${card.ended || striped ? 1 : (fraction ?? 0)})`;
    if (this.#fill.style.transform !== scale) this.#fill.style.transform = scale;
  }

  #drawFacts(facts: Card["facts"]): void {
    // One element for each, so that a narrow card breaks between facts and not within one.
    while (this.#facts.length > facts.length) this.#facts.pop()?.remove();
    facts.forEach((fact, index) => {
      const last = this.#line.lastElementChild === this.#message ? this.#message : null;
      this.#facts[index] ??= this.#line.insertBefore(this.#make("fact"), last);
      put(this.#facts[index], fact);
    });
  }

  #drawChips(metrics: Card["metrics"]): void {
    const shown = metrics.length > CHIPS ? metrics.slice(0, CHIPS - 1) : metrics;
    const rest = metrics.slice(shown.length);
    const chips = rest.length > 0 ? [...shown, [`+${rest.length}`, ""] as const] : shown;
    while (this.#chips.children.length > chips.length) this.#chips.lastElementChild?.remove();
    chips.forEach(([name, value], index) => {
      const chip = this.#chips.children[index] ?? this.#makeChip();
      const [label, figure] = chip.children;
      if (label instanceof HTMLElement) put(label, name);
      if (figure instanceof HTMLElement) put(figure, value);
      attribute(chip, "title", value ? `${name} ${value}` : rest.map((pair) => pair.join(" ")).join("\n"));
    });
    this.#chips.hidden = chips.length === 0;
  }

  #makeChip(): HTMLElement {
    const chip = this.#make("chip", this.#chips, "span");
    this.#make("name", chip, "span");
    this.#make("value", chip, "span");
    return chip;
  }

  #make(name: string, parent?: HTMLElement, tag = "div"): HTMLElement {
    const el = this.doc.createElement(tag);
    el.className = PREFIX + name;
    parent?.append(el);
    return el;
  }
}
