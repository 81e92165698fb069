import { isTerminal } from "../protocol";
import type { JobState } from "./state";
import type { JobView } from "./view";

/**
 * Iterate over the states of a job until it ends: its terminal state is the last one.
 *
 * Who is slower than the job gets the newest state and not all of them. Outages are waited out. Also ends when the
 * client is closed. Throws JobProgressError where waiting is in vain, and the reason of `signal` once it is aborted.
 */
export async function* follow(view: JobView, signal?: AbortSignal): AsyncGenerator<JobState, void, undefined> {
  let wake = () => {};
  let seen: JobState | null = null;
  let end: JobState | null = null;
  const look = () => {
    const { progress } = view.snapshot();
    // Kept, since the next run may begin before somebody asks.
    if (end === null && progress !== null && isTerminal(progress.status)) end = progress;
    wake();
  };
  const aborted = () => wake();
  const leave = view.subscribe(look);
  signal?.addEventListener("abort", aborted);
  try {
    for (;;) {
      signal?.throwIfAborted();
      if (view.final !== null) throw view.final;
      if (!view.watched) return;
      const next: JobState | null = end ?? view.snapshot().progress;
      if (next !== null && next !== seen) {
        seen = next;
        yield next;
        if (isTerminal(next.status)) return;
      } else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    signal?.removeEventListener("abort", aborted);
    leave();
  }
}
