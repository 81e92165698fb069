import type { Polled } from "./connection";
import { isObject, readWhole, type State } from "./protocol";

const MOST = 100;

async function get(url: string): Promise<{ readonly status: number; readonly body: unknown }> {
  // Asking again and again is no work of a person: the server may still be called idle.
  const response = await fetch(`${url}no_track_activity=1`);
  const body: unknown = await response.json();
  if (!response.ok && !(isObject(body) && body.code === "unknown_job")) throw new Error(`${response.status}`);
  return { status: response.status, body };
}

/** Ask a server for jobs by HTTP, where no WebSocket gets through. Jobs that it does not know are left out. */
export async function poll(httpUrl: string, jobIds: readonly string[]): Promise<Polled> {
  const one = async (jobId: string): Promise<State | null> => {
    const { body } = await get(`${httpUrl}api/jobs/${encodeURIComponent(jobId)}?`);
    return readWhole(body);
  };
  const [page, ...states] = await Promise.all([get(`${httpUrl}api/jobs?limit=1&`), ...jobIds.slice(0, MOST).map(one)]);
  const nowUs = isObject(page.body) && typeof page.body.now_us === "number" ? page.body.now_us : null;
  return { nowUs, states: states.filter((state) => state !== null) };
}
