const FIRST_MS = 500;
const LONGEST_MS = 20_000;

/**
 * Draw how long to wait before the next attempt, in milliseconds, after `failures` of them in a row (rule 30).
 *
 * Full jitter: anywhere between nothing and the ceiling. Pages that lost the same server then come back spread
 * out, where half jitter would leave them in waves.
 */
export function backoffMs(failures: number, random: () => number): number {
  return random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 10));
}
