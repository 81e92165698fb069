import { formatCount, formatDuration, formatMetric, formatPercent, formatRate, formatTotal } from "./format";
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

/** Everything that a card shows, in words and numbers. */
export interface Card {
  readonly title: string;
  readonly stage: string;
  readonly word: string;
  /** Belongs to the word: how long, since when. */
  readonly note: string;
  /** Longer explanation of the word. */
  readonly hint: string;
  readonly tone: Tone;
  /** 0 to 1, null where unknown. */
  readonly fraction: number | null;
  readonly percent: string;
  readonly facts: readonly string[];
  readonly message: string;
  readonly error: string;
  readonly metrics: ReadonlyArray<readonly [name: string, value: string]>;
  readonly ended: boolean;
  /** Whether an unknown progress may be drawn as movement: only while the job is really heard of. */
  readonly moving: boolean;
}

interface Words {
  readonly word: string;
  readonly tone: Tone;
  readonly note?: string;
  readonly hint?: string;
}

const QUIET_S = 60;

const STATUS_WORDS: Readonly<Record<Status, Words>> = {
  queued: { word: "Queued", tone: "off" },
  processing: { word: "Running", tone: "active" },
  completed: { word: "Completed", tone: "good" },
  failed: { word: "Failed", tone: "bad" },
  cancelled: { word: "Cancelled", tone: "off" },
};

const LINK_WORDS: Readonly<Record<Exclude<Link, "live" | "saved">, Words>> = {
  waiting: { word: "Waiting for the job", tone: "off", hint: "The server has no state of this job, yet or any more." },
  connecting: { word: "Connecting", tone: "off", hint: "Shown is the last saved state." },
  reconnecting: { word: "Reconnecting", tone: "warn", hint: "Shown is the last state that arrived." },
  unreachable: {
    word: "Not connected",
    tone: "off",
    hint: "The server of this page does not answer for jobs. Is jupyter_jobprogress enabled there? It is tried again.",
  },
  unauthorized: { word: "Not signed in", tone: "warn", hint: "Sign in to the server again and reload the page." },
  forbidden: { word: "Not allowed", tone: "warn", hint: "The server does not let you watch this job." },
  refused: { word: "Refused", tone: "warn", hint: "The server did not take the request to watch this job." },
  store_down: {
    word: "Store unavailable",
    tone: "warn",
    hint: "The server cannot reach its store. Shown is the last state that arrived.",
  },
};

/** Describe one job. `nowUs` is the store's clock, or null where it is not known: then nothing ticks. */
export function describe(
  jobId: string,
  known: Known | null,
  link: Link,
  nowUs: number | null,
  problem = "",
  locale?: string,
): Card {
  const state = known?.state;
  const ended = state !== undefined && isTerminal(state.status);
  // A state that may be outdated is shown as of its time: a clock that ran on would claim to know.
  const clockUs = link === "live" ? nowUs : null;
  const silence_s = known?.atUs == null || clockUs === null ? null : Math.max(0, clockUs - known.atUs) / 1e6;
  const words = wordsOf(known, link, clockUs, silence_s);
  return {
    title: state?.title || jobId,
    stage: state?.stage && !isEcho(state, state.stage) ? state.stage : "",
    word: words.word,
    note: words.note ?? "",
    hint: problem || (words.hint ?? ""),
    tone: words.tone,
    fraction: state?.status === "completed" ? 1 : (state?.progress ?? null),
    percent: state?.progress == null ? "" : formatPercent(state.progress, locale),
    facts: state
      ? ended
        ? endFacts(state, locale)
        : facts(state, clockUs, words.tone === "active" ? silence_s : null, locale)
      : [],
    // Reporters like to put the last line of an error into the message, too.
    message:
      state?.message && !state.error?.includes(state.message) && !isEcho(state, state.message) ? state.message : "",
    error: state?.error ?? "",
    metrics: Object.entries(state?.metrics ?? {}).map(([name, value]) => [name, formatMetric(value, locale)] as const),
    ended,
    moving: words.tone === "active" && link === "live",
  };
}

/** Whether a text only says again that the job completed: what reporters put there when they have nothing to say. */
function isEcho(state: State, text: string): boolean {
  return state.status === "completed" && (text === "complete" || text === "Job completed");
}

function wordsOf(known: Known | null, link: Link, clockUs: number | null, silence_s: number | null): Words {
  if (known === null) return LINK_WORDS[link === "live" || link === "saved" ? "waiting" : link];
  const { status, heartbeat_s } = known.state;
  const words = STATUS_WORDS[status];
  if (isTerminal(status)) return words;
  if (link === "saved")
    return { word: `${words.word} when saved`, tone: "off", hint: "No server of jobs is known to this page." };
  if (link !== "live") return LINK_WORDS[link];
  const heard = silence_s === null ? "live" : liveness(status, silence_s, heartbeat_s);
  if (heard !== "live") {
    const note = `no signal for ${formatDuration(silence_s ?? 0)}`;
    return heard === "lost"
      ? { word: "Lost", tone: "bad", note, hint: "The reporter is most likely gone. It heals by itself." }
      : { word: "Stalled", tone: "warn", note, hint: "The reporter should have been heard of. It heals by itself." };
  }
  const quiet_s = clockUs === null || known.newsUs === null ? 0 : (clockUs - known.newsUs) / 1e6;
  if (status !== "processing" || quiet_s < QUIET_S) return words;
  // Heartbeats prove that the reporter lives. Without them only the fact is said, and nothing is concluded.
  return heartbeat_s
    ? { ...words, note: `no progress for ${formatDuration(quiet_s)}`, hint: "The reporter is alive, the work stands." }
    : { ...words, note: `no update for ${formatDuration(quiet_s)}`, hint: "This reporter sends no heartbeats." };
}

function facts(state: State, clockUs: number | null, silence_s: number | null, locale: string | undefined): string[] {
  const shown: string[] = [];
  if (state.n !== undefined) shown.push(formatCount(state.n, state.total, state.unit, locale));
  if (state.rate_per_s) shown.push(formatRate(state.rate_per_s, state.unit, locale));
  const elapsed_s = runningFor(state, clockUs);
  if (elapsed_s !== null && state.status === "processing") shown.push(`${formatDuration(elapsed_s)} elapsed`);
  // An estimate counts down with a job that is heard of; with any other it would be a guess about a guess.
  const left_s = state.eta_s === undefined || silence_s === null ? 0 : state.eta_s - silence_s;
  if (left_s >= 1) shown.push(`${formatDuration(left_s)} left`);
  return shown;
}

function endFacts(state: State, locale: string | undefined): string[] {
  const shown: string[] = [];
  const total_s = runningFor(state, null);
  if (total_s !== null) shown.push(`${state.status === "completed" ? "in" : "after"} ${formatTotal(total_s, locale)}`);
  if (state.status !== "completed" && state.progress != null) shown.push(`at ${formatPercent(state.progress, locale)}`);
  if (state.n !== undefined)
    shown.push(formatCount(state.n, state.n === state.total ? undefined : state.total, state.unit, locale));
  return shown;
}

/** Seconds since the start of the run: now, or with `clockUs` null at the time of the state. */
function runningFor(state: State, clockUs: number | null): number | null {
  const startUs = parseUs(state.started_at);
  if (clockUs !== null) {
    // `run` is the start by the store's clock (rule 5), `started_at` by the reporter's, which may be wrong.
    const fromUs = state.run ?? startUs;
    return fromUs === null ? null : Math.max(0, clockUs - fromUs) / 1e6;
  }
  const endUs = parseUs(state.timestamp);
  return startUs === null || endUs === null || endUs < startUs ? null : (endUs - startUs) / 1e6;
}
