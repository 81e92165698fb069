import type { StoreClock } from "./clock";
import { ClientCode, CloseCode } from "./codes";
import type { Connection, Listener, Wishes } from "./connection";
import { type Card, describe, type Link } from "./describe";
import { type Family, loadLive } from "./lazy";
import type { ServerLocation } from "./location";
import { isTerminal, type State } from "./protocol";
import { type Known, reduce } from "./reducer";

/** Where states come from: a server, the kernel, or the output alone. */
export type Source =
  | { readonly kind: "server"; readonly connection: Connection; readonly server?: ServerLocation }
  | { readonly kind: "relay"; readonly clock: StoreClock; readonly why?: string }
  | { readonly kind: "saved" };

/** Attempts after which "Connecting" would be a promise: about ten seconds of backoff. */
const HOPELESS = 5;
/** Silence after which a job is not waited for, where it promised no heartbeats; of those, twelve (rule 18). */
const LONG_US = 3_600_000_000;

/** Why the connection went away, in the words of a viewer. */
const REASONS: Readonly<Record<number, string>> = {
  [CloseCode.GOING_AWAY]: "the server stopped",
  [CloseCode.SERVICE_RESTART]: "the server restarts",
  [CloseCode.TRY_AGAIN_LATER]: "the server is busy",
  [CloseCode.SLOW_VIEWER]: "this page was too slow",
  [CloseCode.TOO_MANY]: "over a limit of the server",
  [ClientCode.SILENT]: "the server went silent",
};

/** One job of one output: watches it, keeps what is known of it, and says how it looks now. */
export class Job {
  #known: Known | null = null;
  #missing = false;
  #confirmed = false;
  #everConfirmed = false;
  /** The kernel has said something. */
  #heard = false;
  #problem: { readonly code: string; readonly message: string } | null = null;
  #leave: (() => void) | null = null;
  #cancelledRun: number | null | undefined = null;
  #family: Family | null = null;

  constructor(
    readonly jobId: string,
    readonly source: Source,
    private readonly changed: () => void,
    private wishes: Wishes = { children: true },
  ) {}

  get known(): Known | null {
    return this.#known;
  }

  get state(): State | null {
    return this.#known?.state ?? null;
  }

  get ended(): boolean {
    return this.state !== null && isTerminal(this.state.status);
  }

  /** Whether the server still has to say what it knows of this job. */
  get pending(): boolean {
    return this.state === null && !this.#missing && this.#problem === null;
  }

  /** The parts of this job, if there are any. */
  get family(): Family | null {
    return this.#family;
  }

  /** Begin to watch, or look again where the socket rests. Apart from the constructor, so that saved states are in before anything arrives. */
  start(): void {
    if (this.source.kind !== "server") return;
    if (this.#leave === null) this.#watch(this.source.connection);
    else this.source.connection.look();
    this.#family?.start();
  }

  /** Ask for states this often from now on, and for the present one at once. */
  pace(interval_ms: number): void {
    if (this.wishes.interval_ms === interval_ms) return;
    this.wishes = { ...this.wishes, interval_ms };
    const leave = this.#leave;
    if (leave === null || this.source.kind !== "server") return;
    // In this order: a job that nobody watches in between would be unsubscribed.
    this.#watch(this.source.connection);
    leave();
  }

  /** Take a state that was saved with the output. It may be older than what is known, and nothing says so. */
  restore(state: State): void {
    if (this.#known === null || state.seq !== undefined) this.#take(state);
  }

  /** Take a state that the kernel has just sent. */
  relay(state: State): void {
    this.#heard = true;
    if (this.source.kind === "relay" && state.seq !== undefined) this.source.clock.atLeast(state.seq);
    this.#take(state);
  }

  card(locale?: string): Card {
    const link = this.#link();
    return describe(this.jobId, this.#known, {
      link,
      nowUs: this.nowUs(),
      reason: this.#reason(link),
      cancelRequested: this.cancelRequested,
      parts: this.#family?.sum() ?? null,
      locale,
    });
  }

  /** Somebody asked on this page to cancel the present run. */
  get cancelRequested(): boolean {
    return this.#cancelledRun !== null && this.#cancelledRun === this.state?.run;
  }

  cancelling(): void {
    this.#cancelledRun = this.state?.run;
    this.changed();
  }

  stop(): void {
    this.#leave?.();
    this.#leave = null;
    this.#family?.stop();
  }

  /** The store's clock, in microseconds. */
  nowUs(): number | null {
    switch (this.source.kind) {
      case "server":
        return this.source.connection.clock.nowUs();
      case "relay":
        // Without a single `seq` there is no store to ask the time of: the machine's own will do.
        return this.source.clock.nowUs() ?? Date.now() * 1000;
      case "saved":
        return null;
    }
  }

  #watch(connection: Connection): void {
    const listener: Listener = {
      state: (state) => {
        this.#confirmed = this.#everConfirmed = true;
        this.#missing = false;
        this.#take(state);
      },
      subscribed: (missing) => {
        this.#confirmed = this.#everConfirmed = true;
        this.#missing = missing;
        this.#problem = null;
        this.changed();
      },
      problem: (code, message) => {
        this.#problem = { code, message };
        this.changed();
      },
      children: (jobIds) => {
        void this.#parts(jobIds);
      },
      status: () => {
        const { phase, polling } = connection.status;
        if (phase !== "open" && !polling) this.#confirmed = false;
        this.changed();
      },
      alive: () => this.#alive(),
    };
    this.#leave = connection.watch(this.jobId, listener, this.wishes);
  }

  async #parts(jobIds: readonly string[]): Promise<void> {
    const live = await loadLive();
    if (this.#leave === null) return;
    this.#family ??= live.family(this.source, this.changed);
    this.#family.add(jobIds);
    this.changed();
  }

  #take(state: State): void {
    const known = reduce(this.#known, state, this.nowUs());
    if (known !== this.#known) {
      this.#known = known;
      this.changed();
    }
  }

  #alive(): boolean {
    if (this.#known === null || this.ended || this.#missing) return false;
    const nowUs = this.nowUs();
    const { heartbeat_s } = this.#known.state;
    const longUs = heartbeat_s ? heartbeat_s * 12e6 : LONG_US;
    return nowUs === null || this.#known.atUs === null || nowUs - this.#known.atUs < longUs;
  }

  #reason(link: Link): string {
    if (this.#problem !== null) return this.#problem.message;
    if (this.source.kind !== "server" || link !== "reconnecting") return "";
    const { code, offline } = this.source.connection.status;
    return offline ? "this machine is offline" : (REASONS[code ?? 0] ?? "the connection broke");
  }

  #link(): Link {
    if (this.source.kind !== "server") return this.source.kind === "relay" && this.#heard ? "live" : "saved";
    const { phase, code, failures, storeUp, polling, offline } = this.source.connection.status;
    if (this.#problem !== null) return this.#problem.code === "forbidden" ? "forbidden" : "refused";
    // At rest, since nothing was alive: what was known then still holds.
    if (phase === "closed" && code === ClientCode.NOTHING_WATCHED) return this.#missing ? "waiting" : "live";
    if (code === CloseCode.UNAUTHORIZED) return "unauthorized";
    if (code === CloseCode.FORBIDDEN) return "forbidden";
    if (phase === "closed" && code === CloseCode.BAD_MESSAGE) return "refused";
    if (phase === "open" && !storeUp) return "store_down";
    if (!offline && (phase === "open" || polling) && this.#confirmed) return this.#missing ? "waiting" : "live";
    if (this.#everConfirmed) return "reconnecting";
    return failures < HOPELESS ? "connecting" : "unreachable";
  }
}
