import type { Parts } from "../describe";
import { Job, type Source } from "../job";
import type { Family } from "../lazy";

/** Parts that are followed, of one job. A server takes so many jobs from one page and not more. */
const MOST = 200;
/** Parts stand in the second row: twice a second is enough. */
const INTERVAL_MS = 500;

/** The jobs that are parts of another. */
export class PartJobs implements Family {
  readonly jobs = new Map<string, Job>();
  /** Parts that are known by their ids alone. */
  hidden = 0;

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
    const states = [...this.jobs.values()].flatMap(({ state }) => state ?? []);
    if (states.length === 0) return null;
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
    return {
      count: this.jobs.size + this.hidden,
      completed: states.filter(({ status }) => status === "completed").length,
      failed: states.filter(({ status }) => status === "failed").length,
      fraction: done / all,
    };
  }

  start(): void {
    for (const job of this.jobs.values()) job.start();
  }

  stop(): void {
    for (const job of this.jobs.values()) job.stop();
  }
}
