import { ClientCode } from "../codes";
import type { Connection } from "../connection";
import type { Card, Shape } from "../describe";
import { startTicking, stopTicking } from "../frame";
import { Job } from "../job";
import { isJobId, type State } from "../protocol";
import { JobProgressError } from "./errors";
import { type JobState, jobStateOf } from "./state";

/** What is known of one job now. The same object as long as nothing changes. */
export interface JobSnapshot {
  readonly jobId: string;
  /** The newest state, or null while none is known. */
  readonly progress: JobState | null;
  /** Whether states arrive at present: over the socket, or by polling where no socket opens. A job that ended or went
   * silent long ago is left alone after a while, and counts as connected: what is known of it is all there is. */
  readonly isConnected: boolean;
  /** Why this job cannot be followed, for people. Null while all is well, and while a connection is only being made. */
  readonly error: string | null;
  /** What a bar says of it: words, numbers and what they are worth, also "Stalled" and "Lost". */
  readonly card: Card;
}

/** Problems that are worth a word; those of the second kind do not heal by themselves. */
const PROBLEMS: ReadonlySet<Shape> = new Set(["unreachable", "store_down", "unauthorized", "forbidden", "refused"]);
const FINAL: ReadonlySet<Shape> = new Set(["unauthorized", "forbidden", "refused"]);

/** One job, watched while somebody subscribes. Made for `useSyncExternalStore` and for everything that is like it. */
export class JobView {
  readonly #job: Job;
  readonly #listeners = new Set<() => void>();
  #snapshot: JobSnapshot | null = null;

  /**
   * `interval_ms` is the least time between two states; `all` holds how each of a client's views is left.
   *
   * Throws TypeError where `jobId` cannot be one (rule 1).
   */
  constructor(
    readonly jobId: string,
    private readonly connection: Connection,
    interval_ms: number | undefined,
    private readonly all: Set<() => void>,
  ) {
    if (!isJobId(jobId))
      throw new TypeError(
        `Expected a job id of letters, digits and ._:@+=- (at most 200, the first a letter or digit), not ${JSON.stringify(jobId)}.`,
      );
    const wishes = interval_ms === undefined ? {} : { interval_ms };
    this.#job = new Job(jobId, { kind: "server", connection }, () => this.#changed(), wishes);
  }

  /** Be told of every change until the answered function is called. The first subscriber starts to watch. */
  readonly subscribe = (listener: () => void): (() => void) => {
    // A function of its own for each call: React subscribes with the same one twice in StrictMode.
    const own = () => listener();
    this.#listeners.add(own);
    if (this.#listeners.size === 1) {
      this.#job.start();
      startTicking(this.#tick);
      this.all.add(this.#stop);
    }
    return () => {
      if (this.#listeners.delete(own) && this.#listeners.size === 0) this.#stop();
    };
  };

  readonly snapshot = (): JobSnapshot => {
    this.#snapshot ??= this.#take();
    return this.#snapshot;
  };

  /** Why it is in vain to go on, or null. */
  get final(): JobProgressError | null {
    const { card, error } = this.snapshot();
    return error !== null && FINAL.has(card.shape) ? new JobProgressError(error, card.shape) : null;
  }

  #take(): JobSnapshot {
    const state: State | null = this.#job.state;
    const { phase, polling, offline, code } = this.connection.status;
    const resting = state !== null && phase === "closed" && code === ClientCode.NOTHING_WATCHED;
    const card = this.#job.card();
    return {
      jobId: this.jobId,
      progress: state && jobStateOf(state),
      isConnected: resting || ((phase === "open" || polling) && !offline),
      error: PROBLEMS.has(card.shape) ? [card.word, card.note].filter(Boolean).join(": ") : null,
      card,
    };
  }

  /** Whether anybody is subscribed; nobody is after `close` of the client. */
  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  readonly #stop = () => {
    const left = [...this.#listeners];
    this.#listeners.clear();
    this.all.delete(this.#stop);
    stopTicking(this.#tick);
    this.#job.stop();
    for (const listener of left) listener();
  };

  // Words change with time, too: silence becomes "Stalled" though nothing arrives.
  readonly #tick = () => this.#changed();

  #changed(): void {
    const before = this.#snapshot;
    const now = this.#take();
    const same =
      before !== null &&
      before.progress === now.progress &&
      before.isConnected === now.isConnected &&
      JSON.stringify(before.card) === JSON.stringify(now.card);
    if (same) return;
    this.#snapshot = now;
    for (const listener of [...this.#listeners]) listener();
  }
}
