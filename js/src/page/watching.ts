import { Board } from "../board";
import { make } from "../dom";
import type { Source } from "../job";
import { readRoute, readTyped, routeTo } from "./route";

const SAID_MS = 2_500;

/** The jobs that somebody chose, which are those of the address bar. */
export class Watching {
  readonly el: HTMLElement;
  /** Where ids are typed; stands in the head of the page. */
  readonly form: HTMLFormElement;
  readonly #input: HTMLInputElement;
  readonly #said: HTMLElement;
  readonly #chips: HTMLElement;
  readonly #board: Board;
  #jobIds: string[] = [];

  constructor(
    private readonly doc: Document,
    source: Source,
    private readonly page: Window,
  ) {
    this.form = make(doc, "ask", undefined, "form") as HTMLFormElement;
    this.#input = make(doc, "ids", this.form, "input") as HTMLInputElement;
    this.#input.placeholder = "Job id, or several";
    this.#input.setAttribute("aria-label", "Ids of jobs to watch");
    for (const name of ["autocapitalize", "autocomplete", "autocorrect"]) this.#input.setAttribute(name, "off");
    this.#input.spellcheck = false;
    const button = make(doc, "primary", this.form, "button");
    button.textContent = "Watch";
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#typed();
    });
    this.el = make(doc, "watching", undefined, "section");
    const head = make(doc, "sectionhead", this.el);
    make(doc, "h", head, "h2").textContent = "Watching";
    this.#chips = make(doc, "chips", head, "ul");
    const actions = make(doc, "headactions", head);
    this.#said = make(doc, "said", actions, "span");
    this.#said.setAttribute("role", "status");
    this.#button(actions, "Copy link", () => this.#copy());
    this.#button(actions, "Stop watching", () => this.#go([]));
    this.#board = new Board(doc, source, () => this.#entitle());
    this.el.append(this.#board.el);
    this.page.addEventListener("popstate", () => this.#read());
    this.#read();
  }

  /** Watch one more job, and open its details. */
  add(jobId: string): void {
    this.#go([jobId, ...this.#jobIds.filter((other) => other !== jobId)]);
    this.#open(jobId);
    this.el.scrollIntoView({ block: "start" });
  }

  #typed(): void {
    const { jobIds, wrong } = readTyped(this.#input.value, this.doc.baseURI);
    this.#input.setCustomValidity(
      wrong.length > 0 ? `No job id: ${wrong[0]}. Letters, digits and . _ : @ + = - make one, up to 200 of them.` : "",
    );
    if (!this.#input.reportValidity()) {
      this.#input.addEventListener("input", () => this.#input.setCustomValidity(""), { once: true });
      return;
    }
    if (jobIds.length === 0) return;
    this.#input.value = "";
    this.#go([...new Set([...jobIds, ...this.#jobIds])]);
    if (jobIds.length === 1 && jobIds[0]) this.#open(jobIds[0]);
  }

  #read(): void {
    const jobIds = readRoute(this.page.location.href, this.doc.baseURI);
    this.#show(jobIds);
    if (jobIds.length === 1 && jobIds[0]) this.#open(jobIds[0]);
  }

  #go(jobIds: readonly string[]): void {
    const url = routeTo(jobIds, this.doc.baseURI);
    if (url !== this.page.location.href) this.page.history.pushState(null, "", url);
    this.#show(jobIds);
  }

  #show(jobIds: readonly string[]): void {
    this.#jobIds = [...jobIds];
    this.el.hidden = jobIds.length === 0;
    this.#board.show(jobIds, {});
    this.#chips.replaceChildren(...(jobIds.length > 1 ? jobIds.map((jobId) => this.#chip(jobId)) : []));
    this.#entitle();
  }

  /** Open the details of a job, unless they are. */
  #open(jobId: string): void {
    const card = this.#board.el.children[this.#jobIds.indexOf(jobId)];
    const button = card?.querySelector<HTMLElement>("[aria-expanded=false]");
    button?.click();
  }

  #chip(jobId: string): HTMLElement {
    const chip = make(this.doc, "chip", undefined, "li");
    const name = make(this.doc, "chipname", chip, "span");
    name.textContent = jobId;
    name.title = jobId;
    const button = make(this.doc, "drop", chip, "button");
    button.setAttribute("type", "button");
    button.setAttribute("aria-label", `Stop watching ${jobId}`);
    button.textContent = "×";
    button.addEventListener("click", () => this.#go(this.#jobIds.filter((other) => other !== jobId)));
    return chip;
  }

  async #copy(): Promise<void> {
    const url = routeTo(this.#jobIds, this.doc.baseURI);
    try {
      await navigator.clipboard.writeText(url);
      this.#say("Copied");
    } catch {
      this.#say(url); // over plain HTTP there is no clipboard
    }
  }

  #say(text: string): void {
    this.#said.textContent = text;
    setTimeout(() => {
      this.#said.textContent = "";
    }, SAID_MS);
  }

  /** What a tab says when it is not the one in front. */
  #entitle(): void {
    const cards = this.#board?.cards() ?? [];
    const card = cards.find(({ ended }) => !ended) ?? cards[0];
    const more = cards.length > 1 ? ` +${cards.length - 1}` : "";
    const title = card ? `${card.ended ? card.word : card.percent} ${card.title}${more}`.trim() : "Jobs";
    if (this.doc.title !== title) this.doc.title = title;
  }

  #button(parent: HTMLElement, label: string, run: () => unknown): void {
    const button = make(this.doc, "quiet", parent, "button");
    button.setAttribute("type", "button");
    button.textContent = label;
    button.addEventListener("click", () => run());
  }
}
