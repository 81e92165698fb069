import type { Card } from "./describe";
import { make } from "./dom";
import { forget, nextFrame, startTicking, stopTicking } from "./frame";
import { Job, type Source } from "./job";
import { loadLive, loadMore, type Panel } from "./lazy";
import { type Filter, kept, type State, type States } from "./protocol";
import { watchSight } from "./sight";
import { CardView, styleLines } from "./view";
import { isWanted } from "./wanted";

/** Least time between two states of a job: what is out of sight needs few, and an end never waits. */
const SEEN_MS = 50;
const UNSEEN_MS = 1000;

interface Entry {
  readonly job: Job;
  readonly view: CardView;
  readonly blind: () => void;
  details: Panel | null;
  seen: boolean;
  ended: boolean | null;
}

/** The cards of one output, one below the other. Owns their jobs, and nothing outside its element. */
export class Board {
  readonly el: HTMLElement;
  readonly #jobs = new Map<string, Entry>();
  readonly #dirty = new Set<string>();
  #table: Panel | null = null;
  #shown = false;
  #order = "";

  /** `changed` is called after every change of a state, also where the page is hidden and nothing is drawn. */
  constructor(
    private readonly doc: Document,
    readonly source: Source,
    private readonly changed: () => void = () => {},
  ) {
    this.el = make(doc, "board");
    doc.addEventListener("visibilitychange", this.#returned);
    doc.defaultView?.addEventListener("focus", this.#returned);
    this.el.addEventListener("pointerenter", this.#returned);
  }

  /** Show these jobs in this order. Those that are here already go on; `states` are what was saved of them. */
  show(jobIds: readonly string[], states: States, table: Filter | null = null): void {
    // A card that is taken out and put back is not drawn for a frame, and loses the focus.
    const moved = `${jobIds}` !== this.#order;
    this.#order = `${jobIds}`;
    for (const [jobId, entry] of this.#jobs) {
      if (jobIds.includes(jobId)) continue;
      end(entry);
      this.#jobs.delete(jobId);
    }
    for (const jobId of jobIds) {
      const { job, view } = this.#jobs.get(jobId) ?? this.#add(jobId);
      const saved = states[jobId];
      if (saved) job.restore(saved);
      if (moved) this.el.append(view.el);
      job.start();
    }
    if (table !== null) void this.#showTable(table);
    for (const jobId of this.#jobs.keys()) this.#dirty.add(jobId);
    this.#draw(true);
    this.#shown = true;
  }

  /** Take states that the kernel has just sent. */
  relay(states: States): void {
    for (const [jobId, state] of Object.entries(states)) {
      this.#jobs.get(jobId)?.job.relay(state);
      this.#table?.relay?.(state);
    }
  }

  /** What may be kept of each job, in their order. */
  states(): Record<string, State> {
    const states: Record<string, State> = {};
    for (const [jobId, { job }] of this.#jobs) if (job.state) states[jobId] = kept(job.state);
    return states;
  }

  cards(): Card[] {
    return [...this.#jobs.values()].map(({ job }) => job.card());
  }

  /** Whether every job of this output has ended. */
  get ended(): boolean {
    const jobs = [...this.#jobs.values()];
    return jobs.length > 0 && jobs.every(({ job }) => job.ended);
  }

  dispose(): void {
    for (const entry of this.#jobs.values()) end(entry);
    this.#jobs.clear();
    this.#table?.dispose();
    this.doc.removeEventListener("visibilitychange", this.#returned);
    this.doc.defaultView?.removeEventListener("focus", this.#returned);
    stopTicking(this.#tick);
    forget(this.#drawDirty);
    this.el.remove();
  }

  #add(jobId: string): Entry {
    const changed = () => {
      this.#dirty.add(jobId);
      if (entry.ended === false && job.ended && isWanted(jobId))
        void loadLive().then((bundle) => bundle.tell(this.doc, jobId, job.card()));
      entry.ended = job.state && job.ended;
      // Twenty states a second and job may come; a frame shows the newest.
      if (this.#shown) nextFrame(this.#drawDirty);
      if (this.#shown) this.changed();
    };
    const job = new Job(jobId, this.source, changed, { interval_ms: SEEN_MS, children: true });
    const view = new CardView(this.doc, (open) => void this.#open(entry, open));
    const blind = watchSight(view.el, (seen) => {
      entry.seen = seen;
      job.pace(seen ? SEEN_MS : UNSEEN_MS);
      if (seen && this.#shown) nextFrame(this.#drawDirty);
    });
    const entry: Entry = { job, view, blind, details: null, seen: true, ended: null };
    this.#jobs.set(jobId, entry);
    return entry;
  }

  async #open(entry: Entry, open: boolean): Promise<void> {
    if (!open) {
      entry.details?.dispose();
      entry.details = null;
      return;
    }
    const { panel } = entry.view;
    try {
      const details = (await loadMore()).details(this.doc, entry.job);
      if (panel.hidden || entry.details !== null) return details.dispose();
      entry.details = details;
      panel.replaceChildren(details.el);
      details.draw();
    } catch (error) {
      panel.textContent = `Not loaded: ${error}`;
    }
  }

  async #showTable(filter: Filter): Promise<void> {
    if (this.#table !== null) return;
    try {
      const bundle = await loadLive();
      this.#table ??= bundle.table(this.doc, this.source, filter, (jobId, state) =>
        this.show([jobId], { [jobId]: state }),
      );
      this.el.prepend(this.#table.el);
      this.#table.draw();
    } catch (error) {
      this.el.textContent = `Not loaded: ${error}`;
    }
  }

  readonly #drawDirty = (): void => this.#draw();

  readonly #tick = (): void => {
    if (this.doc.visibilityState !== "visible" || !this.el.isConnected) return;
    for (const jobId of this.#jobs.keys()) this.#dirty.add(jobId);
    this.#draw();
  };

  readonly #returned = (): void => {
    if (this.doc.visibilityState !== "visible") return;
    for (const [jobId, { job }] of this.#jobs) {
      job.start();
      this.#dirty.add(jobId);
    }
    this.#draw();
  };

  /** Draw what has changed and is in sight. What is out of sight is drawn when it comes into it, or when it ends. */
  #draw(all = false): void {
    styleLines(this.el);
    for (const jobId of this.#dirty) {
      const entry = this.#jobs.get(jobId);
      if (entry !== undefined && !entry.seen && !entry.job.ended && !all) continue;
      this.#dirty.delete(jobId);
      entry?.view.draw(entry.job.card());
      entry?.details?.draw();
    }
    if (this.ended || this.source.kind === "saved") stopTicking(this.#tick);
    else if (this.#jobs.size > 0) startTicking(this.#tick);
  }
}

function end({ job, view, blind, details }: Entry): void {
  job.stop();
  blind();
  details?.dispose();
  view.el.remove();
}
