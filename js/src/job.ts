import type { StoreClock } from "./clock";
import { CloseCode } from "./codes";
import type { Connection, Listener } from "./connection";
import { type Card, describe, type Link } from "./describe";
import { isTerminal, type State } from "./protocol";
import { type Known, reduce } from "./reducer";

/** Where states come from: a server, the kernel, or the output alone. */
export type Source =
  | { readonly kind: "server"; readonly connection: Connection }
  | { readonly kind: "relay"; readonly clock: StoreClock }
  | { readonly kind: "saved" };

/** Attempts after which "Connecting" would be a promise: about ten seconds of backoff. */
const HOPELESS = 5;
/** How long an ended job is watched on: long enough for a retry to start it again, then the socket may rest. */
const LINGER_MS = 600_000;

/** One job of one output: watches it, keeps what is known of it, and says how it looks now. */
export class Job {
  #known: Known | null = null;
  #missing = false;
  #confirmed = false;
  #everConfirmed = false;
  #problem: { readonly code: string; readonly message: string } | null = null;
  #leave: (() => void) | null = null;
  #linger: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly jobId: string,
    readonly source: Source,
    private readonly changed: () => void,
  ) {}

  get state(): State | null {
    return this.#known?.state ?? null;
  }

  get ended(): boolean {
    return this.state !== null && isTerminal(this.state.status);
  }

  /** Begin to watch. Apart from the constructor, so that saved states are in before anything arrives. */
  start(): void {
    if (this.source.kind !== "server" || this.#leave !== null) return;
    const { connection } = this.source;
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
        this.#rest();
        this.changed();
      },
      problem: (code, message) => {
        this.#problem = { code, message };
        this.changed();
      },
      status: () => {
        if (connection.status.phase !== "open") this.#confirmed = false;
        this.changed();
      },
    };
    this.#leave = connection.watch(this.jobId, listener);
  }

  /** Take a state that was saved with the output. It may be older than what is known, and nothing says so. */
  restore(state: State): void {
    if (this.#known === null || state.seq !== undefined) this.#take(state);
  }

  /** Take a state that the kernel has just sent. */
  relay(state: State): void {
    if (this.source.kind === "relay" && state.seq !== undefined) this.source.clock.atLeast(state.seq);
    this.#take(state);
  }

  card(locale?: string): Card {
    return describe(this.jobId, this.#known, this.#link(), this.#nowUs(), this.#problem?.message, locale);
  }

  stop(): void {
    clearTimeout(this.#linger);
    this.#leave?.();
    this.#leave = null;
  }

  #take(state: State): void {
    const known = reduce(this.#known, state, this.#nowUs());
    if (known !== this.#known) {
      this.#known = known;
      this.changed();
    }
    this.#rest();
  }

  #rest(): void {
    clearTimeout(this.#linger);
    if (this.ended && this.#confirmed) this.#linger = setTimeout(() => this.stop(), LINGER_MS);
  }

  #nowUs(): number | null {
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

  #link(): Link {
    if (this.source.kind !== "server") return this.source.kind === "saved" ? "saved" : "live";
    const { phase, code, failures, storeUp } = this.source.connection.status;
    if (this.#problem !== null) return this.#problem.code === "forbidden" ? "forbidden" : "refused";
    if (code === CloseCode.UNAUTHORIZED) return "unauthorized";
    if (code === CloseCode.FORBIDDEN) return "forbidden";
    if (phase === "closed" && code === CloseCode.BAD_MESSAGE) return "refused";
    if (phase === "open" && !storeUp) return "store_down";
    if (phase === "open" && this.#confirmed) return this.#missing ? "waiting" : "live";
    if (this.#everConfirmed) return "reconnecting";
    return failures < HOPELESS ? "connecting" : "unreachable";
  }
}
