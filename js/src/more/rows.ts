import { type Card, describe, elapsed, type Shape } from "../describe";
import type { Filter, State } from "../protocol";
import { type Known, reduce } from "../reducer";

export const COLUMNS = ["Status", "Job", "Progress", "%", "Elapsed", "Left", "Host"] as const;
export type Column = (typeof COLUMNS)[number];

export interface Row {
  readonly jobId: string;
  readonly known: Known;
  readonly card: Card;
  readonly elapsed_s: number | null;
  readonly left_s: number | null;
}

export interface Order {
  readonly column: Column;
  readonly down: boolean;
}

/** What wants to be looked at comes first. */
const SHAPES: readonly Shape[] = [
  "lost",
  "stalled",
  "quiet",
  "processing",
  "queued",
  "failed",
  "cancelled",
  "completed",
];

/** Everything that is known of all jobs. */
export class Rows {
  readonly #known = new Map<string, Known>();
  newest = 0;

  take(state: State, nowUs: number | null): void {
    this.#known.set(state.job_id, reduce(this.#known.get(state.job_id) ?? null, state, nowUs));
    this.newest = Math.max(this.newest, state.seq ?? 0);
  }

  /** Forget those that a whole list no longer has. */
  keep(jobIds: ReadonlySet<string>): void {
    for (const jobId of this.#known.keys()) if (!jobIds.has(jobId)) this.#known.delete(jobId);
  }

  get size(): number {
    return this.#known.size;
  }

  pick(filter: Filter, order: Order, nowUs: number | null, locale?: string): Row[] {
    const text = filter.text.trim().toLocaleLowerCase();
    const rows: Row[] = [];
    for (const [jobId, known] of this.#known) {
      const { state } = known;
      if (filter.status !== "" && state.status !== filter.status) continue;
      if (text !== "" && ![jobId, state.title, state.host].some((each) => each?.toLocaleLowerCase().includes(text)))
        continue;
      rows.push(rowOf(jobId, known, nowUs, locale));
    }
    const compare = COMPARE[order.column];
    const sense = order.down ? -1 : 1;
    // By what does not change while a job runs: rows that are equal must not dance.
    return rows.sort((a, b) => compare(a, b, sense) || began(b) - began(a) || (a.jobId < b.jobId ? -1 : 1));
  }
}

function rowOf(jobId: string, known: Known, nowUs: number | null, locale: string | undefined): Row {
  const card = describe(jobId, known, { link: nowUs === null ? "saved" : "live", nowUs, locale });
  const age_s = nowUs === null || known.atUs === null ? 0 : (nowUs - known.atUs) / 1e6;
  const eta_s = known.state.eta_s;
  // Below a second, and past it, nobody knows: what was expected did not come. The line of a job says the same.
  const left_s = eta_s === undefined || eta_s - age_s < 1 ? null : eta_s - age_s;
  return {
    jobId,
    known,
    card,
    elapsed_s: elapsed(known.state, card.ended ? null : nowUs),
    left_s: card.ended || card.tone !== "active" ? null : left_s,
  };
}

type Compare = (a: Row, b: Row, sense: 1 | -1) => number;

const began = ({ known }: Row) => known.state.run ?? 0;
/** What is not known comes last in either sense: whoever sorts wants to see the others. */
const number =
  (get: (row: Row) => number | null): Compare =>
  (a, b, sense) => {
    const [x, y] = [get(a), get(b)];
    return x === null || y === null ? Number(x === null) - Number(y === null) : sense * (x - y);
  };
const words =
  (get: (row: Row) => string): Compare =>
  (a, b, sense) =>
    sense * get(a).localeCompare(get(b), undefined, { numeric: true });
const progress = number((row) => row.card.fraction);

const COMPARE: Readonly<Record<Column, Compare>> = {
  Status: number((row) => SHAPES.indexOf(row.card.shape)),
  Job: words((row) => row.card.title),
  Progress: progress,
  "%": progress,
  Elapsed: number((row) => row.elapsed_s),
  Left: number((row) => row.left_s),
  Host: words((row) => row.card.host),
};
