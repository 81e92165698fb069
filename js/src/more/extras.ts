/** Readers of what only the details show. As in `protocol.ts`: what cannot be read is missing. */

import { isObject, type State } from "../protocol";

export type Series = readonly (number | null)[];

export interface History {
  readonly t_s: readonly number[];
  /** By name; the progress is among them. */
  readonly series: ReadonlyArray<readonly [name: string, values: Series]>;
}

export interface Stage {
  readonly name: string;
  /** 0 to 1: how much of the whole it is expected to be. */
  readonly share: number | null;
  readonly progress: number | null;
  readonly elapsed_s: number | null;
}

export interface Origin {
  readonly host: string;
  readonly pid: number | null;
  readonly user: string;
}

const MAX_POINTS = 512;
const MAX_STAGES = 32;

const finite = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);
const text = (value: unknown): string => (typeof value === "string" ? value : "");

function share(value: unknown): number | null {
  const number = finite(value);
  return number === null ? null : Math.min(1, Math.max(0, number));
}

export function readHistory(state: State): History | null {
  const value = state.more?.history;
  if (!isObject(value) || !Array.isArray(value.t_s)) return null;
  const t_s = value.t_s.slice(0, MAX_POINTS).map((t) => finite(t) ?? 0);
  const series = (values: unknown): Series => (Array.isArray(values) ? values.slice(0, t_s.length).map(finite) : []);
  const metrics = isObject(value.metrics) ? Object.entries(value.metrics) : [];
  return {
    t_s,
    series: [["progress", series(value.progress)], ...metrics.map(([name, all]) => [name, series(all)] as const)],
  };
}

export function readStages(state: State): Stage[] {
  const value = state.more?.stages;
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_STAGES).flatMap((stage: unknown) =>
    isObject(stage) && typeof stage.name === "string"
      ? {
          name: stage.name,
          share: share(stage.share),
          progress: share(stage.progress),
          elapsed_s: finite(stage.elapsed_s),
        }
      : [],
  );
}

export function readOrigin(state: State): Origin | null {
  const value = state.more?.origin;
  return isObject(value) ? { host: text(value.host), pid: finite(value.pid), user: text(value.user) } : null;
}
