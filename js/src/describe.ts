import {
  formatClock,
  formatCount,
  formatDuration,
  formatMetric,
  formatPercent,
  formatRate,
  formatTotal,
} from "./format";
import { liveness } from "./liveness";
import { isTerminal, type State, type Status } from "./protocol";
import { type Known, parseUs } from "./reducer";

/** What stands between the store and this view. */
export type Link =
  | "live"
  | "waiting"
  | "saved"
  | "connecting"
  | "reconnecting"
  | "unreachable"
  | "unauthorized"
  | "forbidden"
  | "refused"
  | "store_down";

export type Tone = "active" | "good" | "bad" | "warn" | "off";

/** What the sign before the title looks like: one for each word, so that no state is told by its colour alone. */
export type Shape = Status | Exclude<Link, "live"> | "quiet" | "stalled" | "lost" | "expired";

/** Everything that the line of a job shows, in words and numbers. */
export interface Card {
  readonly title: string;
  readonly stage: string;
  readonly word: string;
  /** Belongs to the word: how long, since when, why. */
  readonly note: string;
  readonly shape: Shape;
  readonly tone: Tone;
  /** 0 to 1, null where unknown. */
  readonly fraction: number | null;
  readonly percent: string;
  readonly facts: readonly string[];
  readonly message: string;
  readonly error: string;
  readonly metrics: ReadonlyArray<readonly [name: string, value: string]>;
  readonly host: string;
  readonly ended: boolean;
  /** Whether an unknown progress may be drawn as movement: only while the job is really heard of. */
  readonly moving: boolean;
}

/** What is known around the state. */
export interface Around {
  readonly link: Link;
  /** The store's clock in microseconds, or null where it is not known: then nothing ticks. */
  readonly nowUs: number | null;
  /** Why the server refused, or why the connection is away. */
  readonly reason?: string;
  readonly cancelRequested?: boolean;
  /** The parts of the job, added up. */
  readonly parts?: Parts | null;
  readonly locale?: string | undefined;
}

export interface Parts {
  readonly count: number;
  readonly completed: number;
  readonly failed: number;
  /** 0 to 1, of all parts together; null until each has been heard of. */
  readonly fraction: number | null;
}

interface Words {
  readonly word: string;
  /** "off" where nothing is said. */
  readonly tone?: Tone;
  readonly shape?: Shape;
  readonly note?: string;
}

const QUIET_S = 60;
/** Below this, the time of the clock at which a job ends says less than the seconds left; above, a date lacks its year. */
const CLOCK_S = 60;
const CLOCK_MOST_S = 300 * 86_400;

export const STATUS_WORDS: Readonly<Record<Status, Words>> = {
  queued: { word: "Queued" },
  processing: { word: "Running", tone: "active" },
  completed: { word: "Completed", tone: "good" },
  failed: { word: "Failed", tone: "bad" },
  cancelled: { word: "Cancelled" },
};

const LINK_WORDS: Readonly<Record<Exclude<Link, "live" | "saved">, Words>> = {
  waiting: { word: "Waiting for the job" },
  connecting: { word: "Connecting" },
  reconnecting: { word: "Reconnecting", tone: "warn" },
  unreachable: { word: "Not connected" },
  unauthorized: { word: "Not signed in", tone: "warn" },
  forbidden: { word: "Not allowed", tone: "warn" },
  refused: { word: "Refused", tone: "warn" },
  store_down: { word: "Store unavailable", tone: "warn" },
};

/** Describe one job. */
export function describe(jobId: string, known: Known | null, around: Around): Card {
  const { link, parts, locale } = around;
  const state = known?.state;
  const ended = state !== undefined && isTerminal(state.status);
  // A state that may be outdated is shown as of its time: a clock that ran on would claim to know.
  const clockUs = link === "live" ? around.nowUs : null;
  const silence_s = known?.atUs == null || clockUs === null ? null : Math.max(0, clockUs - known.atUs) / 1e6;
  const { word, note = "", tone = "off", shape = shapeOf(known, link) } = wordsOf(known, around, clockUs, silence_s);
  const fraction = state?.status === "completed" ? 1 : (state?.progress ?? parts?.fraction ?? null);
  return {
    title: state?.title || jobId,
    stage: state?.stage && !isEcho(state, state.stage) ? state.stage : "",
    word,
    note,
    shape,
    tone,
    fraction,
    // Nobody has begun: a zero would be noise.
    percent: fraction === null || (fraction === 0 && state?.status === "queued") ? "" : formatPercent(fraction, locale),
    facts: [
      ...(parts ? [partsFact(parts, locale)] : []),
      ...(state
        ? ended
          ? endFacts(state, locale)
          : facts(state, clockUs, tone === "active" ? silence_s : null, locale)
        : []),
    ],
    message: state ? messageOf(state) : "",
    error: state?.error ?? "",
    metrics: Object.entries(state?.metrics ?? {}).map(([name, value]) => [name, formatMetric(value, locale)] as const),
    host: state?.host ?? "",
    ended,
    moving: tone === "active" && link === "live",
  };
}

function shapeOf(known: Known | null, link: Link): Shape {
  if (known !== null && (link === "live" || isTerminal(known.state.status))) return known.state.status;
  return link === "live" || (known === null && link === "saved") ? "waiting" : link;
}

function partsFact({ count, completed, failed }: Parts, locale: string | undefined): string {
  const done = formatCount(completed, count, "parts", locale);
  return failed > 0 ? `${done}, ${formatCount(failed, undefined, "failed", locale)}` : done;
}

/** What reporters put there when they have nothing to say. */
const ECHOES = /^(complete|Job (completed|cancelled))$/;

/** Whether a text only says again how the job ended. */
function isEcho(state: State, text: string): boolean {
  return isTerminal(state.status) && ECHOES.test(text);
}

/** The message, where it says more than the error: reporters put one into the other, with a word before it or without. */
function messageOf(state: State): string {
  const { message = "", error = "" } = state;
  const said = lastLine(error);
  return isEcho(state, message) || error.includes(message) || (said && message.includes(said)) ? "" : message;
}

/** The line of a traceback that says what went wrong. */
export function lastLine(error: string): string {
  return error.trimEnd().split("\n").at(-1)?.trim() ?? "";
}

function wordsOf(known: Known | null, around: Around, clockUs: number | null, silence_s: number | null): Words {
  const { link, reason: note = "" } = around;
  if (known === null) return { ...LINK_WORDS[link === "live" || link === "saved" ? "waiting" : link], note };
  const { status, heartbeat_s } = known.state;
  const words = STATUS_WORDS[status];
  if (isTerminal(status)) return words;
  if (link === "saved") return { word: `${words.word} when saved` };
  if (link === "waiting") return { word: "Expired", shape: "expired", note: "the server forgot it" };
  if (link !== "live") return { ...LINK_WORDS[link], note };
  const heard = silence_s === null ? "live" : liveness(status, silence_s, heartbeat_s);
  if (heard !== "live") {
    const said =
      heard === "lost" ? ({ word: "Lost", tone: "bad" } as const) : ({ word: "Stalled", tone: "warn" } as const);
    return { ...said, shape: heard, note: `no signal for ${formatDuration(silence_s ?? 0, around.locale)}` };
  }
  if (around.cancelRequested) return { ...words, note: "cancel requested" };
  const quiet_s = clockUs === null || known.newsUs === null ? 0 : (clockUs - known.newsUs) / 1e6;
  if (status !== "processing" || quiet_s < QUIET_S) return words;
  // Heartbeats prove that the reporter lives. Without them only the fact is said, and nothing is concluded.
  const quiet = `no ${heartbeat_s ? "progress" : "update"} for ${formatDuration(quiet_s, around.locale)}`;
  return { ...words, shape: "quiet", note: quiet };
}

/** What matters most comes first: where there is no room, the last ones are left out. */
function facts(state: State, clockUs: number | null, silence_s: number | null, locale: string | undefined): string[] {
  const shown: string[] = [];
  if (state.n !== undefined) shown.push(formatCount(state.n, state.total, state.unit, locale));
  // An estimate counts down with a job that is heard of; with any other it would be a guess about a guess.
  const left_s = state.eta_s === undefined || silence_s === null ? 0 : state.eta_s - silence_s;
  if (left_s >= 1 && clockUs !== null) {
    const ends = left_s < CLOCK_S || left_s > CLOCK_MOST_S ? "" : ` (${formatClock(clockUs, left_s, locale)})`;
    shown.push(`${formatDuration(left_s, locale)} left${ends}`);
  }
  const elapsed_s = elapsed(state, clockUs);
  if (elapsed_s !== null && state.status === "processing") shown.push(`${formatDuration(elapsed_s, locale)} elapsed`);
  if (state.rate_per_s) shown.push(formatRate(state.rate_per_s, state.unit, locale));
  return shown;
}

function endFacts(state: State, locale: string | undefined): string[] {
  const shown: string[] = [];
  const total_s = elapsed(state, null);
  if (total_s !== null) shown.push(`${state.status === "completed" ? "in" : "after"} ${formatTotal(total_s, locale)}`);
  if (state.status !== "completed" && state.progress != null) shown.push(`at ${formatPercent(state.progress, locale)}`);
  if (state.n !== undefined)
    shown.push(
      formatCount(state.n, state.unit && state.n === state.total ? undefined : state.total, state.unit, locale),
    );
  return shown;
}

/** Seconds since the start of the run: now, or with `clockUs` null at the time of the state. */
export function elapsed(state: State, clockUs: number | null): number | null {
  const startUs = parseUs(state.started_at);
  if (clockUs !== null) {
    // `run` is the start by the store's clock (rule 5), `started_at` by the reporter's, which may be wrong.
    const fromUs = state.run ?? startUs;
    return fromUs === null ? null : Math.max(0, clockUs - fromUs) / 1e6;
  }
  const endUs = parseUs(state.timestamp);
  return startUs === null || endUs === null || endUs < startUs ? null : (endUs - startUs) / 1e6;
}
