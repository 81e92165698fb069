/** The store's clock, carried on by a local monotonic one between two messages that tell it (rule 18). */
export class StoreClock {
  #offsetUs: number | null = null;

  constructor(readonly localMs: () => number) {}

  /** Take the store's time from a message that has just come. */
  set(nowUs: number): void {
    this.#offsetUs = nowUs - this.localMs() * 1000;
  }

  /** Take a time that the store's clock has passed, where no message tells the clock itself. */
  atLeast(us: number): void {
    if ((this.nowUs() ?? Number.NEGATIVE_INFINITY) < us) this.set(us);
  }

  /** Microseconds since 1970, or null before anything was heard. */
  nowUs(): number | null {
    return this.#offsetUs === null ? null : this.localMs() * 1000 + this.#offsetUs;
  }
}
