/** States of docs/protocol.md, section 2. What comes off the wire is `unknown` until read here. */

export const STATUSES = ["queued", "processing", "completed", "failed", "cancelled"] as const;
export type Status = (typeof STATUSES)[number];

/** What a bar shows of a job; other fields of the wire are left where they are. Units as in the protocol. */
export interface State {
  readonly job_id: string;
  readonly status: Status;
  readonly stage?: string;
  /** 0 to 1; null where the amount of work is unknown. */
  readonly progress?: number | null;
  readonly message?: string;
  /** RFC 3339, UTC: when the job last said something new. */
  readonly timestamp?: string;
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
  /** Name of the machine that reports. */
  readonly host?: string;
  /** What only the details show, as it came: it is read when they are opened, and is not kept in files. */
  readonly more?: Extras;
}

/** Fields that are read where they are shown (`more/extras.ts`): at twenty states a second nobody looks at a history. */
export type Extras = Readonly<Partial<Record<(typeof MORE)[number], unknown>>>;

export type States = Readonly<Record<string, State>>;

/** What the MIME bundle of an output holds (rule 32). */
export interface Bundle {
  readonly jobIds: string[];
  readonly states: States;
  /** Set where the output is the table of all jobs: what it is narrowed to at first. */
  readonly table: Filter | null;
}

/** What a table of jobs is narrowed to. */
export interface Filter {
  readonly status: string;
  /** Part of a title, an id or a host. */
  readonly text: string;
}

const JOB_ID = /^[A-Za-z0-9][A-Za-z0-9._:@+=-]{0,199}$/;
const MAX_METRICS = 32;
const MORE = ["history", "stages", "result", "metadata", "origin", "parent_id"] as const;

export function isTerminal(status: Status): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}

export type Fields = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isStatus(value: unknown): value is Status {
  return STATUSES.some((status) => status === value);
}

export function isJobId(value: unknown): value is string {
  return typeof value === "string" && JOB_ID.test(value);
}

// A reader answers undefined for what is not of its type: that field is then missing, and the others still count.

export function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function finite(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

function positive(value: unknown): number | undefined {
  const number = finite(value);
  return number !== undefined && number >= 0 ? number : undefined;
}

export function integer(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) ? value : undefined;
}

function fraction(value: unknown): number | null | undefined {
  if (value === null) return null;
  const number = finite(value);
  return number === undefined ? undefined : Math.min(1, Math.max(0, number));
}

function scalars(value: unknown): Record<string, number | null> | undefined {
  if (!isObject(value)) return undefined;
  const read = Object.entries(value).filter(
    (entry): entry is [string, number | null] => entry[1] === null || finite(entry[1]) !== undefined,
  );
  return read.length > 0 ? Object.fromEntries(read.slice(0, MAX_METRICS)) : undefined;
}

const READERS: {
  readonly [Name in Exclude<keyof State, "job_id" | "status" | "host" | "more">]-?: (value: unknown) => State[Name];
} = {
  stage: text,
  progress: fraction,
  message: text,
  timestamp: text,
  error: text,
  seq: integer,
  run: integer,
  title: text,
  unit: text,
  n: finite,
  total: finite,
  rate_per_s: positive,
  eta_s: positive,
  started_at: text,
  heartbeat_s: positive,
  metrics: scalars,
};

/** Read a state, or null if it has no valid id or status (rules 6 to 8). Malformed fields count as missing. */
export function readState(value: unknown): State | null {
  if (!isObject(value) || !isJobId(value.job_id) || !isStatus(value.status)) return null;
  const fields: Record<string, unknown> = {};
  for (const [name, read] of Object.entries(READERS)) {
    const field = read(value[name]);
    if (field !== undefined) fields[name] = field;
  }
  return { job_id: value.job_id, status: value.status, ...fields };
}

/** Read a state with all that the details show of it. */
export function readWhole(value: unknown): State | null {
  const state = readState(value);
  if (state === null || !isObject(value)) return null;
  const more: Record<string, unknown> = {};
  for (const name of MORE) if (value[name] != null) more[name] = value[name];
  const host = isObject(value.origin) ? text(value.origin.host) : undefined;
  const rest = Object.keys(more).length > 0 ? { more } : {};
  return { ...state, ...(host === undefined ? {} : { host }), ...rest };
}

/** What of a state may stay in a file: what the line of a bar shows, and not who reports from where. */
export function kept(state: State): State {
  const { more: _, host: __, ...rest } = state;
  return rest;
}

/** What may stay in a file of these jobs, as far as it is known. */
export function keptOf(states: States, jobIds: readonly string[]): States {
  return Object.fromEntries(jobIds.flatMap((jobId) => (states[jobId] ? [[jobId, kept(states[jobId])]] : [])));
}

export function readFilter(value: unknown): Filter | null {
  return isObject(value) ? { status: text(value.status) ?? "", text: text(value.text) ?? "" } : null;
}

/** Read an object of states by job id; what is no state, or of another job, is left out. */
export function readStates(value: unknown): States {
  const states: Record<string, State> = {};
  if (!isObject(value)) return states;
  for (const [jobId, candidate] of Object.entries(value)) {
    const state = readWhole(candidate);
    if (state?.job_id === jobId) states[jobId] = state;
  }
  return states;
}

/** Read a list of job ids, each once, without those that break rule 1. */
export function readJobIds(value: unknown): string[] {
  return Array.isArray(value) ? [...new Set(value.filter(isJobId))] : [];
}

/** Read the data of our MIME type. What cannot be read is missing, so that the rest is shown. */
export function readBundle(value: unknown): Bundle {
  const fields = isObject(value) ? value : {};
  return { jobIds: readJobIds(fields.job_ids), states: readStates(fields.states), table: readFilter(fields.table) };
}
