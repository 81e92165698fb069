import { isTerminal, type Status } from "./protocol";

export type Liveness = "live" | "stalled" | "lost";

const STALLED_HEARTBEATS = 3;
const LOST_HEARTBEATS = 12;

/** Judge a silence by the store's clock, as `protocol/liveness.py` does (rule 18). No promise, no judgement. */
export function liveness(status: Status, silence_s: number, heartbeat_s: number | undefined): Liveness {
  if (isTerminal(status) || heartbeat_s === undefined || heartbeat_s <= 0) return "live";
  if (silence_s >= LOST_HEARTBEATS * heartbeat_s) return "lost";
  if (silence_s >= STALLED_HEARTBEATS * heartbeat_s) return "stalled";
  return "live";
}
