import type { Parts } from "../describe";
import { Job, type Source } from "../job";
import type { Family } from "../lazy";
import type { State } from "../protocol";

/** Parts that are followed, of one job. A server takes so many jobs from one page and not more. */
const MOST = 200;
/** Parts stand in the second row: twice a second is enough. */
const INTERVAL_MS = 500;

/** The jobs that are parts of another. */
export class PartJobs implements Family {
  readonly jobs = new Map<string, Job>();
  /** Parts that are known by their ids alone. */
  hidden = 0;
  #fraction: number | null = null;

  constructor(
    private readonly source: Source,
    private readonly changed: () => void,
  ) {}

  add(jobIds: readonly string[]): void {
    for (const jobId of jobIds) {
      if (this.jobs.has(jobId)) continue;
      if (this.jobs.size >= MOST) {
        this.hidden++;
        continue;
      }
      const job = new Job(jobId, this.source, this.changed, { interval_ms: INTERVAL_MS });
      this.jobs.set(jobId, job);
      job.start();
    }
  }

  /** All parts as one: by their work where they count the same, else each part as much as any other. */
  sum(): Parts | null {
    if (this.jobs.size === 0) return null;
    const parts = [...this.jobs.values()];
    const states = parts.flatMap(({ state }) => state ?? []);
    // One that has not arrived may be the one that is far behind: the bar waits for it, since it must not fall back.
    if (!parts.some((part) => part.pending)) this.#fraction = fractionOf(states, parts.length);
    return {
      count: this.jobs.size + this.hidden,
      completed: states.filter(({ status }) => status === "completed").length,
      failed: states.filter(({ status }) => status === "failed").length,
      fraction: this.#fraction,
    };
  }

  start(): void {
    for (const job of this.jobs.values()) job.start();
  }

  stop(): void {
    for (const job of this.jobs.values()) job.stop();
  }
}

/** How much is done of `count` parts. Those without a state have done nothing that is known, and weigh as much as others. */
function fractionOf(states: readonly State[], count: number): number {
  const unit = states[0]?.unit;
  const counted = states.every((state) => state.total !== undefined && state.total > 0 && state.unit === unit);
  let done = 0;
  let all = 0;
  for (const state of states) {
    const share = state.status === "completed" ? 1 : (state.progress ?? 0);
    const weight = counted ? (state.total ?? 1) : 1;
    done += share * weight;
    all += weight;
  }
  return all === 0 ? 0 : (done / all) * (states.length / count);
}
