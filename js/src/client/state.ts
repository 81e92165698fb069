import type { State, Status } from "../protocol";

/** A state as it travels: docs/protocol.md, section 2. Fields of the original progress service come first. */
export interface JobState {
  readonly job_id: string;
  readonly status: Status;
  readonly stage?: string;
  /** 0 to 1; null where the amount of work is unknown. */
  readonly progress?: number | null;
  readonly message?: string;
  /** RFC 3339, UTC: when the job last said something new. */
  readonly timestamp?: string;
  readonly metadata?: unknown;
  readonly result?: unknown;
  readonly error?: string;
  /** Microseconds of the store's clock, increasing for each job; as is `run`, the start of this execution. */
  readonly seq?: number;
  readonly run?: number;
  readonly title?: string;
  /** What `n` and `total` count. */
  readonly unit?: string;
  readonly n?: number;
  readonly total?: number;
  readonly rate_per_s?: number;
  readonly eta_s?: number;
  readonly started_at?: string;
  /** Longest silence of a healthy reporter, in seconds. */
  readonly heartbeat_s?: number;
  readonly metrics?: Readonly<Record<string, number | null>>;
  readonly stages?: unknown;
  readonly history?: unknown;
  readonly parent_id?: unknown;
  readonly origin?: unknown;
}

const whole = new WeakMap<State, JobState>();

/** What came off the wire, in one piece again, and for one state always the same object. */
export function jobStateOf(state: State): JobState {
  let found = whole.get(state);
  if (found === undefined) {
    const { more, host: _, ...fields } = state;
    found = { ...fields, ...more };
    whole.set(state, found);
  }
  return found;
}
