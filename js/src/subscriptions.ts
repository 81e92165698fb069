/** Jobs in one `subscribe`. A server that refuses one message for its limit has then taken those before it. */
const BATCH = 64;

/** What one watcher wants of a job. */
export interface Wanted {
  /** Least time between two states. */
  readonly interval_ms: number;
  /** Whether to be told of the parts of the job. */
  readonly children: boolean;
}

export interface Subscribe {
  readonly type: "subscribe";
  readonly job_ids: readonly string[];
  readonly interval_ms: number;
  readonly children?: true;
}

/** Ask for jobs as often as their most eager watcher wants, and never more often than `least_ms`: those alike together. */
export function subscriptions(jobs: Iterable<readonly [string, readonly Wanted[]]>, least_ms: number): Subscribe[] {
  const alike = new Map<string, { interval_ms: number; children?: true; job_ids: string[] }>();
  for (const [jobId, wanted] of jobs) {
    const interval_ms = Math.max(least_ms, Math.min(...wanted.map((each) => each.interval_ms)));
    const children = wanted.some((each) => each.children);
    const key = `${interval_ms} ${children}`;
    const asked = alike.get(key) ?? { interval_ms, ...(children ? { children } : {}), job_ids: [] };
    asked.job_ids.push(jobId);
    alike.set(key, asked);
  }
  return [...alike.values()].flatMap(({ job_ids, ...wishes }) =>
    Array.from({ length: Math.ceil(job_ids.length / BATCH) }, (_, batch) => ({
      type: "subscribe" as const,
      job_ids: job_ids.slice(batch * BATCH, (batch + 1) * BATCH),
      ...wishes,
    })),
  );
}
