/** What a connection needs of its surroundings, what it is asked for, and what it tells. Types alone. */

import type { State } from "./protocol";

export interface Status {
  readonly phase: "connecting" | "open" | "waiting" | "closed";
  /** Why the last socket ended: a close code, or a `ClientCode`. */
  readonly code: number | null;
  /** Attempts in a row that led to no lasting connection. */
  readonly failures: number;
  readonly storeUp: boolean;
  /** What brings the states where no socket opens. */
  readonly polling: boolean;
  /** The machine says that it has no network. */
  readonly offline: boolean;
}

/** Who watches a job. It may watch or leave from within a call. */
export interface Listener {
  state(state: State): void;
  /** The job is subscribed; `missing` if the store has no state of it. */
  subscribed(missing: boolean): void;
  problem(code: string, message: string): void;
  /** More jobs say that they are parts of this one. */
  children?(jobIds: readonly string[]): void;
  /** `status` of the connection changed. */
  status(): void;
  /** Whether something may be expected of the job, which is what the socket is kept for. */
  alive?(): boolean;
}

/** The part of a WebSocket that is used here. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number }) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}

export interface Surroundings {
  open(url: string): Socket;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  random(): number;
  /** A monotonic clock, in milliseconds. */
  nowMs(): number;
  /** Ask for jobs without a socket. Rejects where that is in vain, too. */
  poll?(jobIds: readonly string[]): Promise<Polled>;
  /** Whether the server says that nobody is signed in. Does not reject. */
  signedOut?(): Promise<boolean>;
}

export interface Polled {
  readonly nowUs: number | null;
  readonly states: readonly State[];
}

export interface Wishes {
  /** Least time between two states. */
  readonly interval_ms?: number;
  /** Whether to be told of the parts of the job. */
  readonly children?: boolean;
}
