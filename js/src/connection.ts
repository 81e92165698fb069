import { backoffMs } from "./backoff";
import { StoreClock } from "./clock";
import { ClientCode, CloseCode, retries } from "./codes";
import { readMessage, type ServerMessage } from "./messages";
import { subscriptions } from "./subscriptions";
import type { Listener, Polled, Socket, Status, Surroundings, Wishes } from "./surroundings";

/** Pings come every 30 s: two of them missing, and a bit, is a connection that only looks alive. */
const SILENCE_MS = 75_000;
/** After a wake-up what is watched is asked for again. A socket that does not answer this soon is given up. */
const PROBE_MS = 1_500;
const HANDSHAKE_MS = 20_000;
/** A connection that broke sooner than this counts as another failure: a server that greets and throws out is spared. */
const STABLE_MS = 10_000;
const IDLE_MS = 5_000;
/** How long jobs that show no life are watched on: a retry may start them again. Then the socket rests. */
const LINGER_MS = 600_000;
const LINGER_CHECK_MS = 60_000;
/** Attempts without a single greeting, after which jobs are asked for by HTTP: some proxies cut every upgrade. */
const UPGRADES = 3;
const POLL_MS = 2_000;
/** Errors that pass: the store's outage, or the server's own trouble. */
const PASSING: ReadonlySet<string> = new Set(["store_unavailable", "internal"]);

export type { Listener, Polled, Socket, Status, Surroundings, Wishes };

type Timer = "retry" | "watchdog" | "idle" | "flush" | "resubscribe" | "probe" | "poll" | "linger";

interface Watch {
  readonly listener: Listener;
  readonly interval_ms: number;
  readonly children: boolean;
}

interface Watched {
  readonly watches: Set<Watch>;
  confirmed: boolean;
}

/** One reconnecting client of `ws/jobs`, for any number of jobs. Knows no DOM; `wake` is told of the page's life. */
export class Connection {
  readonly clock: StoreClock;
  #status: Status = {
    phase: "closed",
    code: null,
    failures: 0,
    storeUp: true,
    polling: false,
    offline: false,
  };
  readonly #jobs = new Map<string, Watched>();
  readonly #toSubscribe = new Set<string>();
  #socket: Socket | null = null;
  /** Events of any socket but the newest are ignored by it: a browser may deliver them long after `close`. */
  #generation = 0;
  #openedMs: number | null = null;
  #heardMs = 0;
  #everOpened = false;
  #least_ms = 0;
  #aliveMs = 0;
  readonly #timers = new Map<Timer, unknown>();

  constructor(
    readonly url: string,
    private readonly around: Surroundings,
  ) {
    this.clock = new StoreClock(around.nowMs);
  }

  get status(): Status {
    return this.#status;
  }

  /** Watch a job until the answered function is called. */
  watch(jobId: string, listener: Listener, { interval_ms = 50, children = false }: Wishes = {}): () => void {
    const watch: Watch = { listener, interval_ms, children };
    const watched = this.#jobs.get(jobId) ?? { watches: new Set(), confirmed: false };
    this.#jobs.set(jobId, watched);
    watched.watches.add(watch);
    this.#stop("idle");
    this.#lingerOn();
    // Also where the job is subscribed already: the state comes again (rule 27), and nothing has to be kept here.
    this.#subscribe([jobId]);
    if (this.#status.phase === "closed") this.#connect();
    return () => {
      if (!watched.watches.delete(watch) || watched.watches.size > 0) return;
      this.#jobs.delete(jobId);
      this.#toSubscribe.delete(jobId);
      if (this.#status.phase === "open") this.#send({ type: "unsubscribe", job_ids: [jobId] });
      if (this.#jobs.size === 0) this.#start("idle", IDLE_MS, () => this.rest());
    };
  }

  /** Somebody looks at the page: if its socket rests, all that is watched is asked for again. */
  look(): void {
    const { phase, code } = this.#status;
    if (this.#jobs.size === 0 || phase !== "closed" || code !== ClientCode.NOTHING_WATCHED) return;
    this.#lingerOn();
    this.#connect();
  }

  /** The network or the page came back: do not wait for a timer that may have slept, too. */
  wake(): void {
    if (this.#status.offline) this.#set({ offline: false });
    if (this.#status.phase === "waiting") this.#connect();
    else if (this.#status.phase === "open") {
      const askedMs = this.around.nowMs();
      this.#subscribe(this.#jobs.keys());
      this.#start("probe", PROBE_MS, () => {
        if (this.#heardMs >= askedMs) return;
        this.#drop(ClientCode.SILENT);
        this.#connect();
      });
    }
  }

  /** The machine lost its network. Sockets learn that minutes later. */
  sleep(): void {
    this.#set({ offline: true });
  }

  /** Ask for states no more often than this, whatever the watchers wished: a hidden page needs few. */
  pace(least_ms: number): void {
    if (least_ms === this.#least_ms) return;
    this.#least_ms = least_ms;
    this.#subscribe(this.#jobs.keys());
  }

  #connect(): void {
    this.#stop("retry");
    const generation = ++this.#generation;
    this.#openedMs = null;
    this.#heardMs = this.around.nowMs();
    try {
      const socket = this.around.open(this.url);
      this.#socket = socket;
      const current = (run: () => void) => () => generation === this.#generation && run();
      socket.onopen = current(() => this.#opened());
      socket.onmessage = (event) => current(() => this.#heard(event.data))();
      socket.onclose = (event) => current(() => this.#ended(event.code))();
      this.#set({ phase: "connecting" });
      this.#watchdog(HANDSHAKE_MS);
    } catch {
      // Content security policies and malformed URLs throw here. Both may pass, with another page or setting.
      this.#ended(ClientCode.NO_SOCKET);
    }
  }

  #opened(): void {
    this.#heardMs = this.around.nowMs();
    this.#subscribe(this.#jobs.keys());
    this.#flush();
  }

  #heard(data: unknown): void {
    this.#heardMs = this.around.nowMs();
    const message = typeof data === "string" ? parse(data) : null;
    if (message !== null) this.#handle(message);
  }

  #handle(message: ServerMessage): void {
    switch (message.type) {
      case "state":
        this.#each([message.state.job_id], (listener) => listener.state(message.state));
        break;
      case "connected":
      case "ping":
        if (message.nowUs !== null) this.clock.set(message.nowUs);
        if (this.#status.phase === "connecting") {
          this.#openedMs = this.around.nowMs();
          this.#everOpened = true;
          this.#stop("poll");
          this.#set({ phase: "open", code: null, storeUp: true, polling: false, offline: false });
          this.#watchdog(SILENCE_MS);
          this.#flush();
        }
        break;
      case "subscribed":
        for (const jobId of message.jobIds) {
          const watched = this.#jobs.get(jobId);
          if (watched) watched.confirmed = true;
        }
        this.#each(message.jobIds, (listener, jobId) => listener.subscribed(message.missing.includes(jobId)));
        break;
      case "children":
        this.#each([message.parentId], (listener) => listener.children?.(message.jobIds));
        break;
      case "store":
        this.#set({ storeUp: message.up });
        if (message.up) this.#subscribe(this.#unconfirmed());
        break;
      case "error":
        this.#refused(message.code, message.message, message.jobId);
    }
  }

  #refused(code: string, text: string, jobId: string | null): void {
    const jobIds = jobId === null ? this.#unconfirmed() : [jobId];
    if (PASSING.has(code)) {
      const wait = 1000 + backoffMs(3, this.around.random);
      this.#start("resubscribe", wait, () => this.#subscribe(this.#unconfirmed()));
    } else this.#each(jobIds, (listener) => listener.problem(code, text));
  }

  #ended(code: number): void {
    const greeted = this.#openedMs !== null;
    const lasted = this.#openedMs === null ? 0 : this.around.nowMs() - this.#openedMs;
    const failures = lasted >= STABLE_MS ? 0 : this.#status.failures;
    this.#abandon();
    if (this.#jobs.size === 0 || !retries(code)) {
      // The server let go of a page on which nothing runs, as the page does by itself: it rests.
      if (code === CloseCode.IDLE) this.#set({ phase: "closed", code: ClientCode.NOTHING_WATCHED, failures: 0 });
      else this.#set({ phase: "closed", code, failures: failures + 1 });
      return;
    }
    this.#start("retry", backoffMs(failures, this.around.random), () => this.#connect());
    this.#set({ phase: "waiting", code, failures: failures + 1 });
    if (!this.#everOpened && failures + 1 >= UPGRADES && !this.#timers.has("poll")) void this.#poll();
    if (!greeted) void this.#askWhy(this.#generation);
  }

  /** A browser does not tell a handshake that was refused from one that nobody answered. Without this, a page whose
   *  user was signed out while it had no socket would knock for ever. */
  async #askWhy(generation: number): Promise<void> {
    if (!(await this.around.signedOut?.()) || generation !== this.#generation) return;
    this.#stop("retry");
    this.#stop("poll");
    this.#set({ phase: "closed", code: CloseCode.UNAUTHORIZED, polling: false });
  }

  /** Ask by HTTP until a socket opens after all, which is tried on. */
  async #poll(): Promise<void> {
    if (this.around.poll === undefined || this.#jobs.size === 0) return;
    // A timer that has run stays in the map until the next: one round at a time.
    this.#timers.set("poll", null);
    const jobIds = [...this.#jobs.keys()];
    const polled = await this.around.poll(jobIds).catch(() => null);
    if (!this.#timers.has("poll")) return;
    this.#start("poll", Math.max(POLL_MS, this.#least_ms), () => void this.#poll());
    if (polled?.nowUs != null) this.clock.set(polled.nowUs);
    this.#set({ polling: polled !== null });
    const found = new Map(polled?.states.map((state) => [state.job_id, state]));
    if (polled !== null)
      this.#each(jobIds, (listener, jobId) => {
        const state = found.get(jobId);
        listener.subscribed(state === undefined);
        if (state !== undefined) listener.state(state);
      });
  }

  #drop(code: number): void {
    const socket = this.#socket;
    this.#ended(code);
    socket?.close(code);
  }

  /** Close the socket now, where nothing is watched: by itself that happens some seconds after the last one left. */
  rest(): void {
    if (this.#jobs.size === 0) this.#rest();
  }

  #lingerOn(): void {
    this.#aliveMs = this.around.nowMs();
    this.#start("linger", LINGER_CHECK_MS, () => this.#linger());
  }

  /** While one job lives, all are watched: a new run of one that ended costs nothing, and is shown. */
  #linger(): void {
    const { phase, polling } = this.#status;
    const watches = [...this.#jobs.values()].flatMap((watched) => [...watched.watches]);
    // Nobody knows what lives behind an outage, and no server is kept from its rest by attempts to reach it.
    const alive = (phase !== "open" && !polling) || watches.some(({ listener }) => listener.alive?.() ?? true);
    if (alive) this.#lingerOn();
    else if (this.around.nowMs() - this.#aliveMs >= LINGER_MS) this.#rest();
    else this.#start("linger", LINGER_CHECK_MS, () => this.#linger());
  }

  #rest(): void {
    const socket = this.#socket;
    this.#abandon();
    for (const timer of ["poll", "idle", "linger"] as const) this.#stop(timer);
    this.#set({ phase: "closed", code: ClientCode.NOTHING_WATCHED, failures: 0, polling: false });
    socket?.close(ClientCode.NOTHING_WATCHED);
  }

  #abandon(): void {
    this.#generation++;
    this.#socket = null;
    for (const watched of this.#jobs.values()) watched.confirmed = false;
    for (const timer of ["retry", "watchdog", "flush", "resubscribe", "probe"] as const) this.#stop(timer);
  }

  #watchdog(limitMs: number): void {
    const left = this.#heardMs + limitMs - this.around.nowMs();
    this.#start("watchdog", Math.max(0, left), () => {
      if (this.around.nowMs() - this.#heardMs >= limitMs) this.#drop(ClientCode.SILENT);
      else this.#watchdog(limitMs);
    });
  }

  #unconfirmed(): string[] {
    return [...this.#jobs].filter(([, watched]) => !watched.confirmed).map(([jobId]) => jobId);
  }

  #subscribe(jobIds: Iterable<string>): void {
    for (const jobId of jobIds) this.#toSubscribe.add(jobId);
    // Many bars of one page are drawn in one go, and ask in one message.
    if (this.#status.phase === "open") this.#start("flush", 0, () => this.#flush());
  }

  #flush(): void {
    const wished = [...this.#toSubscribe].map((jobId) => [jobId, [...(this.#jobs.get(jobId)?.watches ?? [])]] as const);
    this.#toSubscribe.clear();
    for (const command of subscriptions(wished, this.#least_ms)) this.#send(command);
  }

  #send(message: object): void {
    // A socket that is closing drops what is sent; what matters is asked again by the next one.
    this.#socket?.send(JSON.stringify(message));
  }

  #set(change: Partial<Status>): void {
    this.#status = { ...this.#status, ...change };
    this.#each([...this.#jobs.keys()], (listener) => listener.status());
  }

  #each(jobIds: readonly string[], tell: (listener: Listener, jobId: string) => void): void {
    for (const jobId of jobIds)
      for (const watch of [...(this.#jobs.get(jobId)?.watches ?? [])]) tell(watch.listener, jobId);
  }

  #start(name: Timer, ms: number, run: () => void): void {
    this.#stop(name);
    this.#timers.set(name, this.around.setTimeout(run, ms));
  }

  #stop(name: Timer): void {
    this.around.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

function parse(data: string): ServerMessage | null {
  try {
    return readMessage(JSON.parse(data));
  } catch {
    return null;
  }
}
