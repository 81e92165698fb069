/** One animation frame and one tick a second for a whole page, whatever the number of outputs. */

const TICK_MS = 1000;

const due = new Set<() => void>();
let frame: number | undefined;

/** Run in the next frame, once however often it was asked for. A hidden page has no frames. */
export function nextFrame(run: () => void): void {
  due.add(run);
  frame ??= requestAnimationFrame(() => {
    frame = undefined;
    const runs = [...due];
    due.clear();
    for (const each of runs) each();
  });
}

export function forget(run: () => void): void {
  due.delete(run);
  if (due.size > 0 || frame === undefined) return;
  cancelAnimationFrame(frame);
  frame = undefined;
}

const ticking = new Set<() => void>();
let ticker: ReturnType<typeof setInterval> | undefined;

/** Run once a second, until `stopTicking`. */
export function startTicking(run: () => void): void {
  ticking.add(run);
  // Never set anew while it runs: one busy job would keep the others from ticking.
  ticker ??= setInterval(() => {
    for (const each of [...ticking]) each();
  }, TICK_MS);
}

export function stopTicking(run: () => void): void {
  ticking.delete(run);
  if (ticking.size > 0) return;
  clearInterval(ticker);
  ticker = undefined;
}

/** Forget everything, as a page does that goes away. */
export function forgetAll(): void {
  for (const run of due) forget(run);
  for (const run of ticking) stopTicking(run);
}
