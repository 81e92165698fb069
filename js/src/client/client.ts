import type { Connection, Status as ConnectionStatus, Socket } from "../connection";
import type { ServerLocation } from "../location";
import { integer, isTerminal, readWhole, type Status } from "../protocol";
import { connectionTo } from "../registry";
import { JobProgressError } from "./errors";
import { follow } from "./follow";
import { ask } from "./http";
import { type JobState, jobStateOf } from "./state";
import { type JobSnapshot, JobView } from "./view";

const TICKET = "jp1.";

export interface ConnectOptions {
  /** The server's token, or a ticket. Not needed in a page of the server itself, which has a cookie. */
  readonly token?: string;
  /** A WebSocket class, where the platform has none: that of `ws` for Node 20. Without one, jobs are polled. */
  readonly WebSocket?: new (
    url: string,
  ) => object;
}

export interface WatchOptions {
  /** Least time between two states, 50 by default; 0 asks for every update. A terminal state never waits. */
  readonly interval_ms?: number;
}

export interface FollowOptions extends WatchOptions {
  /** Ends the iteration, which throws its reason. */
  readonly signal?: AbortSignal;
}

export interface ListOptions {
  readonly status?: Status;
  readonly parent_id?: string;
  /** At most 1000; 100 by default. */
  readonly limit?: number;
  /** `next` of the page before. */
  readonly after?: number;
}

export interface JobPage {
  /** From the newest to the oldest. */
  readonly jobs: JobState[];
  /** What `after` is for the next page, or null on the last. */
  readonly next: number | null;
}

/** A server of jobs. All clients of one server and token share one socket, which is open while something is watched. */
export class Client {
  readonly #server: ServerLocation;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #connection: Connection;
  readonly #leave = new Set<() => void>();

  constructor(url: string, { token = "", WebSocket }: ConnectOptions) {
    this.#server = locate(url, token);
    const scheme = token.startsWith(TICKET) ? "JobProgress" : "token";
    this.#headers = token === "" ? {} : { Authorization: `${scheme} ${token}` };
    const open = WebSocket && ((address: string) => silenced(new WebSocket(address) as Socket));
    this.#connection = connectionTo(this.#server, { headers: this.#headers, ...(open ? { open } : {}) });
  }

  /** How the connection stands. */
  get status(): ConnectionStatus {
    return this.#connection.status;
  }

  /** Call back with each state, from the present one on, until the answered function is called. */
  watch(jobId: string, callback: (state: JobState, snapshot: JobSnapshot) => void, options?: WatchOptions): () => void;
  /** Iterate over the states of a job until it ends. */
  watch(jobId: string, options?: FollowOptions): AsyncGenerator<JobState, void, undefined>;
  watch(
    jobId: string,
    given?: ((state: JobState, snapshot: JobSnapshot) => void) | FollowOptions,
    options: WatchOptions = {},
  ): (() => void) | AsyncGenerator<JobState, void, undefined> {
    if (typeof given !== "function") return follow(this.view(jobId, given), given?.signal);
    const view = this.view(jobId, options);
    let seen: JobState | null = null;
    return view.subscribe(() => {
      const snapshot = view.snapshot();
      if (snapshot.progress === null || snapshot.progress === seen) return;
      seen = snapshot.progress;
      given(snapshot.progress, snapshot);
    });
  }

  /** Wait for the end of a job, and answer its terminal state. */
  async wait(jobId: string, options?: FollowOptions): Promise<JobState> {
    for await (const state of this.watch(jobId, options)) if (isTerminal(state.status)) return state;
    throw new JobProgressError(`${jobId} was not watched to its end: the client was closed.`, "closed");
  }

  /** One job with everything that can be said about it, for a user interface: see `JobView`. */
  view(jobId: string, { interval_ms }: WatchOptions = {}): JobView {
    return new JobView(jobId, this.#connection, interval_ms, this.#leave);
  }

  /** Read the newest state of a job, or null if the server has none. */
  async get(jobId: string): Promise<JobState | null> {
    try {
      return read(await this.#ask("GET", `api/jobs/${encodeURIComponent(jobId)}`));
    } catch (error) {
      if (error instanceof JobProgressError && error.code === "unknown_job") return null;
      throw error;
    }
  }

  async list(options: ListOptions = {}): Promise<JobPage> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(options)) if (value !== undefined) query.set(name, String(value));
    const { jobs, next } = await this.#ask("GET", `api/jobs?${query}`);
    const found = Array.isArray(jobs) ? jobs.map(read).filter((state) => state !== null) : [];
    return { jobs: found, next: integer(next) ?? null };
  }

  /** Ask a job to stop. It does so when it looks next; a job that does not know of it goes on. */
  async cancel(jobId: string): Promise<void> {
    await this.#ask("POST", `api/jobs/${encodeURIComponent(jobId)}/cancel`);
  }

  /** Stop watching everything that this client watches, and close the socket if nobody else uses it. */
  close(): void {
    for (const leave of [...this.#leave]) leave();
    this.#connection.rest();
  }

  #ask(method: "GET" | "POST", path: string) {
    return ask(this.#server.httpUrl + path, method, this.#headers);
  }
}

/**
 * Make a client of a server. Nothing is opened before something is watched.
 *
 * `url` is where its page is: `http://host:8084/`, or `…/jobprogress/` of a Jupyter server; without one, the root of
 * this page's own server. Throws TypeError where it is none.
 */
export function connect(url?: string, options: ConnectOptions = {}): Client {
  const here = typeof location === "undefined" ? undefined : location.origin;
  const given = url ?? here;
  if (given === undefined) throw new TypeError("Expected the URL of a server: outside of a page there is no other.");
  return new Client(given, options);
}

function locate(given: string, token: string): ServerLocation {
  const url = new URL(given, typeof location === "undefined" ? undefined : location.href);
  if (!["http:", "https:", "ws:", "wss:"].includes(url.protocol))
    throw new TypeError(`Expected a URL that begins with http:// or https://, not ${url.protocol}`);
  url.protocol = url.protocol.replace("ws", "http");
  url.search = url.hash = "";
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  const socket = new URL("ws/jobs", url);
  socket.protocol = socket.protocol.replace("http", "ws");
  // No browser lets a page set a header of a WebSocket.
  if (token !== "") socket.searchParams.set("token", token);
  return { url: socket.href, socketUrl: socket.href, httpUrl: url.href };
}

/** A socket of `ws` throws what nobody listens to; that it closes says the same. */
function silenced(socket: Socket & { onerror?: unknown }): Socket {
  socket.onerror = () => {};
  return socket;
}

function read(value: unknown): JobState | null {
  const state = readWhole(value);
  return state && jobStateOf(state);
}
