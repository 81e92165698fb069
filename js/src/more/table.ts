import type { Listener } from "../connection";
import { STATUS_WORDS } from "../describe";
import { attribute, make, put, styleRoot } from "../dom";
import { formatDuration } from "../format";
import { nextFrame } from "../frame";
import type { Source } from "../job";
import type { Panel } from "../lazy";
import { type Filter, isObject, readWhole, STATUSES, type State } from "../protocol";
import { makeSign, setShape, setTrack } from "../shapes";
import { xsrfHeaders } from "../xsrf";
import { cell } from "./list";
import { COLUMNS, type Column, type Order, type Row, Rows } from "./rows";
import css from "./table.css?inline";

const ROW_PX = 32;
/** Rows above and below those in sight, so that scrolling meets what is drawn. */
const SPARE = 8;
const POLL_MS = 2_000;
/** Every so many rounds all jobs are read and not the newest alone: those that expired are seen by that. */
const WHOLE_ROUNDS = 30;
const PAGE = 200;
const INTERVAL_MS = 500;
/** What is said while nothing was heard from where the states come. */
const UNHEARD = {
  server: "",
  relay: "no jobs yet",
  saved: "neither a server nor a kernel is here",
} as const;
const WATCHED_AFTER_MS = 300;

/** A live table of all jobs. Only rows in sight exist, so that thousands cost what thirty cost. */
export class Table implements Panel {
  readonly el: HTMLElement;
  readonly #rows = new Rows();
  readonly #scroll: HTMLElement;
  readonly #body: HTMLElement;
  readonly #count: HTMLElement;
  readonly #heads: HTMLElement[] = [];
  readonly #watched = new Map<string, () => void>();
  #filter: Filter;
  #order: Order = { column: "Status", down: false };
  #picked: Row[] = [];
  #round = 0;
  #problem: string;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watching: ReturnType<typeof setTimeout> | undefined;
  #picking: ReturnType<typeof setTimeout> | undefined;
  #disposed = false;

  constructor(
    private readonly doc: Document,
    private readonly source: Source,
    filter: Filter,
    private readonly open: (jobId: string, state: State) => void,
  ) {
    this.#filter = filter;
    this.#problem = UNHEARD[source.kind];
    this.el = make(doc, "table");
    const bar = make(doc, "filter", this.el);
    const text = make(doc, "text", bar, "input") as HTMLInputElement;
    text.type = "search";
    text.placeholder = "Title, id or host";
    text.setAttribute("aria-label", "Show jobs whose title, id or host has this text");
    text.value = filter.text;
    text.addEventListener("input", () => this.#narrow({ ...this.#filter, text: text.value }));
    const status = make(doc, "status", bar, "select") as HTMLSelectElement;
    status.setAttribute("aria-label", "Show jobs with this status");
    for (const value of ["" as const, ...STATUSES]) {
      const option = doc.createElement("option");
      option.value = value;
      option.textContent = value ? STATUS_WORDS[value].word : "All";
      status.append(option);
    }
    status.value = STATUSES.some((each) => each === filter.status) ? filter.status : "";
    status.addEventListener("change", () => this.#narrow({ ...this.#filter, status: status.value }));
    this.#count = make(doc, "count", bar, "span");
    this.#count.setAttribute("role", "status");
    this.#scroll = make(doc, "scroll", this.el);
    this.#scroll.setAttribute("role", "table");
    this.#scroll.setAttribute("aria-label", "Jobs");
    this.#scroll.tabIndex = 0;
    this.#scroll.addEventListener("scroll", () => nextFrame(this.#drawRows), { passive: true });
    this.#makeHead();
    this.#body = make(doc, "rowgroup", this.#scroll);
    this.#body.setAttribute("role", "rowgroup");
    doc.addEventListener("visibilitychange", this.#returned);
    void this.#poll();
  }

  /** Take a state that did not come from a server. */
  add(state: State): void {
    this.#problem = "";
    this.#rows.take(state, this.#nowUs());
  }

  /** Take a state that the kernel has sent: it does the asking. */
  relay(state: State): void {
    if (this.source.kind === "relay" && state.seq !== undefined) this.source.clock.atLeast(state.seq);
    this.add(state);
    this.#picking ??= setTimeout(this.#pickSoon, INTERVAL_MS);
  }

  draw(): void {
    styleRoot(this.el, css, "table");
    this.#pick();
  }

  dispose(): void {
    this.#disposed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#watching);
    clearTimeout(this.#picking);
    for (const leave of this.#watched.values()) leave();
    this.#watched.clear();
    this.doc.removeEventListener("visibilitychange", this.#returned);
    this.el.remove();
  }

  #makeHead(): void {
    const group = make(this.doc, "thead", this.#scroll);
    group.setAttribute("role", "rowgroup");
    const head = make(this.doc, "tr", group);
    head.setAttribute("role", "row");
    for (const column of COLUMNS) {
      const th = make(this.doc, "th", head);
      th.setAttribute("role", "columnheader");
      this.#heads.push(th);
      const button = make(this.doc, "sort", th, "button");
      button.setAttribute("type", "button");
      button.textContent = column;
      button.addEventListener("click", () => this.#sort(column));
    }
  }

  #sort(column: Column): void {
    this.#order = { column, down: this.#order.column === column && !this.#order.down };
    this.#pick();
  }

  #narrow(filter: Filter): void {
    this.#filter = filter;
    this.#scroll.scrollTop = 0;
    this.#pick();
  }

  readonly #returned = (): void => {
    if (this.doc.visibilityState !== "visible" || this.#disposed) return;
    clearTimeout(this.#timer);
    void this.#poll();
  };

  /** Read what is new. A hidden page asks for nothing, and catches up when it is seen. */
  async #poll(): Promise<void> {
    try {
      await this.#read();
      if (this.source.kind === "server") this.#problem = "";
    } catch (error) {
      this.#problem = `not up to date: ${error instanceof Error ? error.message : error}`;
    }
    if (this.#disposed) return;
    this.#pick();
    if (this.doc.visibilityState === "visible") this.#timer = setTimeout(() => void this.#poll(), POLL_MS);
  }

  async #read(): Promise<void> {
    if (this.source.kind !== "server" || this.source.server === undefined) return;
    const whole = this.#round++ % WHOLE_ROUNDS === 0;
    const { newest } = this.#rows;
    const found = new Set<string>();
    let after: unknown = null;
    do {
      const query = `limit=${PAGE}&no_track_activity=1${after === null ? "" : `&after=${after}`}`;
      const response = await fetch(`${this.source.server.httpUrl}api/jobs?${query}`, { headers: xsrfHeaders() });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const page: unknown = await response.json();
      if (!isObject(page) || !Array.isArray(page.jobs)) return;
      if (typeof page.now_us === "number") this.source.connection.clock.set(page.now_us);
      for (const value of page.jobs) {
        const state = readWhole(value);
        if (state === null) continue;
        found.add(state.job_id);
        this.#rows.take(state, this.#nowUs());
        // The list runs from the newest to the oldest: what follows is known.
        if (!whole && (state.seq ?? 0) <= newest) return;
      }
      after = page.next ?? null;
    } while (after !== null && !this.#disposed);
    if (whole) this.#rows.keep(found);
  }

  #nowUs(): number | null {
    if (this.source.kind === "saved") return null;
    return (this.source.kind === "server" ? this.source.connection.clock : this.source.clock).nowUs();
  }

  #pick(): void {
    this.#picked = this.#rows.pick(this.#filter, this.#order, this.#nowUs());
    const shown = this.#picked.length;
    const of = shown === this.#rows.size ? "" : ` of ${this.#rows.size.toLocaleString()}`;
    put(this.#count, this.#problem || `${shown.toLocaleString()}${of} ${this.#rows.size === 1 ? "job" : "jobs"}`);
    this.#heads.forEach((th, index) => {
      const sorted = COLUMNS[index] === this.#order.column;
      attribute(th, "aria-sort", sorted ? (this.#order.down ? "descending" : "ascending") : null);
    });
    this.#scroll.setAttribute("aria-rowcount", String(shown + 1));
    this.#body.style.height = `${shown * ROW_PX}px`;
    this.#drawRows();
  }

  readonly #drawRows = (): void => {
    const first = Math.max(0, Math.floor(this.#scroll.scrollTop / ROW_PX) - SPARE);
    const most = Math.ceil((this.#scroll.clientHeight || 424) / ROW_PX) + 2 * SPARE;
    const rows = this.#picked.slice(first, first + most);
    const held = this.#body.querySelector(":focus")?.closest<HTMLElement>("[data-job]")?.dataset.job;
    while (this.#body.children.length > rows.length) this.#body.lastElementChild?.remove();
    rows.forEach((row, index) => {
      const el = (this.#body.children[index] as HTMLElement | undefined) ?? this.#makeRow();
      el.style.top = `${(first + index) * ROW_PX}px`;
      attribute(el, "aria-rowindex", String(first + index + 2));
      this.#change(el, row);
    });
    // A row of the page shows another job when jobs move: whoever stands on one by the keyboard goes with it.
    if (held !== undefined) {
      const row = this.#body.children[rows.findIndex(({ jobId }) => jobId === held)] as HTMLElement | undefined;
      (row === undefined ? this.#scroll : cell(cell(row, 1), 0)).focus({ preventScroll: true });
    }
    clearTimeout(this.#watching);
    this.#watching = setTimeout(() => this.#watch(rows.filter(({ card }) => !card.ended)), WATCHED_AFTER_MS);
  };

  #makeRow(): HTMLElement {
    const row = make(this.doc, "tr", this.#body);
    row.setAttribute("role", "row");
    for (const column of COLUMNS) make(this.doc, column === "Status" ? "word" : "td", row).setAttribute("role", "cell");
    cell(row, 0).append(makeSign(this.doc), make(this.doc, "name", undefined, "span"));
    const link = make(this.doc, "link", cell(row, 1), "button");
    link.setAttribute("type", "button");
    link.dir = "auto";
    link.addEventListener("click", () => {
      const picked = this.#picked.find(({ jobId }) => jobId === row.dataset.job);
      if (picked) this.open(picked.jobId, picked.known.state);
    });
    make(this.doc, "fill", make(this.doc, "track", cell(row, 2)));
    return row;
  }

  #change(row: HTMLElement, { jobId, card, elapsed_s, left_s }: Row): void {
    attribute(row, "data-job", jobId);
    attribute(row, "data-tone", card.tone);
    const [sign, word] = cell(row, 0).children;
    setShape(sign as SVGElement, card.shape);
    put(word as HTMLElement, card.word);
    attribute(cell(row, 0), "title", [card.word, card.note].filter(Boolean).join(" · "));
    const link = cell(row, 1).firstElementChild as HTMLElement;
    put(link, card.title);
    attribute(link, "title", `${card.title}\n${jobId}`);
    setTrack(cell(row, 2).firstElementChild as HTMLElement, card);
    const times = [elapsed_s, left_s].map((time_s) => (time_s === null ? "" : formatDuration(time_s)));
    // Only what is new, or what somebody has marked to copy it would be marked no more. An empty cell keeps its place.
    [card.percent, ...times, card.host].forEach((text, index) => {
      const el = cell(row, index + 3);
      if (el.textContent !== text) el.textContent = text;
    });
    attribute(cell(row, 6), "title", card.host || null);
  }

  /** Follow what is in sight over the socket, and nothing else. */
  #watch(rows: readonly Row[]): void {
    if (this.source.kind !== "server" || this.#disposed) return;
    const { connection } = this.source;
    const wanted = new Set(rows.map(({ jobId }) => jobId));
    for (const [jobId, leave] of this.#watched) {
      if (wanted.has(jobId)) continue;
      leave();
      this.#watched.delete(jobId);
    }
    for (const jobId of wanted) {
      if (this.#watched.has(jobId)) continue;
      const listener: Listener = {
        state: (state) => {
          this.#rows.take(state, this.#nowUs());
          this.#picking ??= setTimeout(this.#pickSoon, INTERVAL_MS);
        },
        subscribed: () => {},
        problem: () => {},
        status: () => {},
      };
      this.#watched.set(jobId, connection.watch(jobId, listener, { interval_ms: INTERVAL_MS }));
    }
  }

  // All rows are described and sorted for it, and rows that change their place at every state cannot be read.
  readonly #pickSoon = (): void => {
    this.#picking = undefined;
    this.#pick();
  };
}
