import type { Card } from "./describe";
import { Job, type Source } from "./job";
import type { State, States } from "./protocol";
import { CardView, styleRoot } from "./view";

const TICK_MS = 1000;

/** The cards of one output, one below the other. Owns their jobs, the ticking, and nothing outside its element. */
export class Board {
  readonly el: HTMLElement;
  readonly #jobs = new Map<string, { readonly job: Job; readonly view: CardView }>();
  readonly #dirty = new Set<string>();
  #frame: number | undefined;
  #ticker: ReturnType<typeof setInterval> | undefined;
  #shown = false;

  /** `changed` is called after every change of a state, also where the page is hidden and nothing is drawn. */
  constructor(
    doc: Document,
    readonly source: Source,
    private readonly changed: () => void = () => {},
  ) {
    this.el = doc.createElement("div");
    this.el.className = "jobprogress-board";
    doc.addEventListener("visibilitychange", this.#visible);
  }

  /** Show these jobs in this order. Those that are here already go on; `states` are what was saved of them. */
  show(jobIds: readonly string[], states: States): void {
    for (const [jobId, { job, view }] of this.#jobs) {
      if (jobIds.includes(jobId)) continue;
      job.stop();
      view.el.remove();
      this.#jobs.delete(jobId);
    }
    for (const jobId of jobIds) {
      const { job, view } = this.#jobs.get(jobId) ?? this.#add(jobId);
      const saved = states[jobId];
      if (saved) job.restore(saved);
      this.el.append(view.el);
      job.start();
    }
    this.#draw(this.#jobs.keys());
    this.#shown = true;
  }

  /** Take states that the kernel has just sent. */
  relay(states: States): void {
    for (const [jobId, state] of Object.entries(states)) this.#jobs.get(jobId)?.job.relay(state);
  }

  /** What is known of each job, in their order. */
  states(): Record<string, State> {
    const states: Record<string, State> = {};
    for (const [jobId, { job }] of this.#jobs) if (job.state) states[jobId] = job.state;
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
    for (const { job } of this.#jobs.values()) job.stop();
    this.#jobs.clear();
    this.el.ownerDocument.removeEventListener("visibilitychange", this.#visible);
    clearInterval(this.#ticker);
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.el.remove();
  }

  #add(jobId: string): { readonly job: Job; readonly view: CardView } {
    const view = new CardView(this.el.ownerDocument);
    const job = new Job(jobId, this.source, () => {
      this.#dirty.add(jobId);
      // Twenty states a second and job may come; a frame shows the newest. A hidden page has no frames at all.
      if (this.#shown && this.#frame === undefined) this.#frame = requestAnimationFrame(this.#drawDirty);
      if (this.#shown) this.changed();
    });
    const entry = { job, view };
    this.#jobs.set(jobId, entry);
    return entry;
  }

  readonly #drawDirty = (): void => {
    this.#frame = undefined;
    this.#draw(this.#dirty);
  };

  readonly #visible = (): void => {
    if (this.el.ownerDocument.visibilityState === "visible") this.#draw(this.#jobs.keys());
  };

  #draw(jobIds: Iterable<string>): void {
    styleRoot(this.el);
    for (const jobId of [...jobIds]) {
      const entry = this.#jobs.get(jobId);
      entry?.view.draw(entry.job.card());
    }
    this.#dirty.clear();
    this.#tick();
  }

  #tick(): void {
    if (this.ended || this.source.kind === "saved") {
      clearInterval(this.#ticker);
      this.#ticker = undefined;
    }
    // Never set anew while it runs: one busy job would keep the others from ticking.
    else
      this.#ticker ??= setInterval(() => {
        if (this.el.ownerDocument.visibilityState === "visible" && this.el.isConnected) this.#draw(this.#jobs.keys());
      }, TICK_MS);
  }
}
