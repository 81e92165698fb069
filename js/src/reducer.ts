import { isTerminal, type State } from "./protocol";

/** What a viewer knows of one job. Times are microseconds of the store's clock. */
export interface Known {
  readonly state: State;
  /** The highest `seq` so far: a state without one does not open the door to older ones. */
  readonly seq: number | null;
  /** When this state was stored; of a state without `seq`, when it arrived. */
  readonly atUs: number | null;
  /** When the job last said something new. */
  readonly newsUs: number | null;
}

/** Microseconds since 1970 of an RFC 3339 text, or null. */
export function parseUs(timestamp: string | undefined): number | null {
  const ms = Date.parse(timestamp ?? "");
  return Number.isNaN(ms) ? null : ms * 1000;
}

/**
 * Take a state that came from the store, or answer `known` itself if it is not news (rules 14, 16 and 17).
 *
 * `nowUs` is the store's clock at the arrival, or null where it is not known.
 */
export function reduce(known: Known | null, state: State, nowUs: number | null): Known {
  if (known !== null && !isNewer(known, state)) return isFuller(known.state, state) ? { ...known, state } : known;
  const seq = Math.max(known?.seq ?? 0, state.seq ?? 0) || null;
  const atUs = state.seq ?? nowUs;
  return { state: withHistory(known, state), seq, atUs, newsUs: newsUs(known, state, atUs) };
}

// Reporters send the history every few seconds and not with each state.
function withHistory(known: Known | null, state: State): State {
  const history = known?.state.more?.history;
  if (history === undefined || state.more?.history !== undefined) return state;
  return known?.state.run === state.run ? { ...state, more: { ...state.more, history } } : state;
}

/** A file keeps of a state what the line of a bar shows. The store has the rest of the same state. */
function isFuller(known: State, state: State): boolean {
  return state.seq === known.seq && known.more === undefined && state.more !== undefined;
}

function isNewer(known: Known, state: State): boolean {
  if (state.seq === undefined) return true;
  if (known.seq !== null && state.seq <= known.seq) return false;
  return !(isTerminal(known.state.status) && state.run !== undefined && state.run === known.state.run);
}

function newsUs(known: Known | null, state: State, atUs: number | null): number | null {
  // The first state seen may be an old one that heartbeats repeat: only its own timestamp tells, by the reporter's
  // clock. Every later change is dated by the store's, so that a reporter with a wrong clock is judged rightly soon.
  if (known === null) return parseUs(state.timestamp) ?? atUs;
  const same =
    known.state.timestamp === state.timestamp &&
    known.state.progress === state.progress &&
    known.state.run === state.run;
  return same ? known.newsUs : atUs;
}
