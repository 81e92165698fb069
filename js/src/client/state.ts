import type { Extras, State } from "../protocol";

/** A state as it travels: docs/protocol.md, section 2. */
export interface JobState extends Omit<State, "host" | "more">, Extras {}

const whole = new WeakMap<State, JobState>();

/** What came off the wire, in one piece again, and for one state always the same object. */
export function jobStateOf(state: State): JobState {
  let found = whole.get(state);
  if (found === undefined) {
    const { more, host: _, ...fields } = state;
    found = { ...fields, ...more };
    whole.set(state, found);
  }
  return found;
}
