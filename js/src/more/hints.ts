import { ClientCode } from "../codes";
import type { Shape } from "../describe";
import type { Job } from "../job";

/** What a word means, and what can be done: for those who open the details to find out. */
export const HINTS: Readonly<Partial<Record<Shape, string>>> = {
  waiting: "The server has no state of this job, yet or any more. The bar begins with the first report.",
  expired: "The server no longer has a state of this job. Shown is the last one that this page knows.",
  quiet: "The reporter is heard of, the work stands where it stood.",
  stalled: "The reporter should have been heard of by now. It heals by itself.",
  lost: "The reporter is most likely gone. It heals by itself, should it come back.",
  connecting: "Shown is the last saved state.",
  reconnecting: "Shown is the last state that arrived. The page tries again by itself.",
  unreachable:
    "The server of this page does not answer for jobs. Is jupyter_jobprogress enabled there? It is tried again.",
  unauthorized: "Sign in to the server again and reload the page.",
  forbidden: "The server does not let you watch this job.",
  refused: "The server did not take the request to watch this job.",
  store_down: "The server cannot reach its store. Shown is the last state that arrived.",
  saved: "No server of jobs is known to this page. Shown is what was saved with the notebook.",
};

/** What brings the states to this page, and why it is that. */
export function transport({ source }: Job): string {
  if (source.kind === "relay") return `Kernel: ${source.why ?? "no server of jobs is in reach of this page."}`;
  if (source.kind === "saved") return "None: no server of jobs is known to this page.";
  const { phase, polling, code, failures } = source.connection.status;
  if (polling)
    return `HTTP polling: the WebSocket did not open in ${failures} attempts${code ? ` (code ${code})` : ""}.`;
  if (code === ClientCode.NOTHING_WATCHED && phase === "closed")
    return "WebSocket, at rest: nothing was alive for ten minutes. It opens when somebody looks at the page.";
  if (phase === "open") return "WebSocket: the server of this page.";
  return `WebSocket, not open${code ? ` (code ${code})` : ""}: attempt ${failures + 1}.`;
}
