import type { Polled } from "./connection";
import { isObject, readWhole, type State } from "./protocol";
import { type Headers, xsrfHeaders } from "./xsrf";

const MOST = 100;

async function get(url: string, headers: Headers): Promise<{ readonly status: number; readonly body: unknown }> {
  // Asking again and again is no work of a person: the server may still be called idle.
  const response = await fetch(`${url}no_track_activity=1`, { headers: { ...xsrfHeaders(), ...headers } });
  const body: unknown = await response.json();
  if (!response.ok && !(isObject(body) && body.code === "unknown_job")) throw new Error(`${response.status}`);
  return { status: response.status, body };
}

/** Ask a server for jobs by HTTP, where no WebSocket gets through. Jobs that it does not know are left out. */
export async function poll(httpUrl: string, jobIds: readonly string[], headers: Headers = {}): Promise<Polled> {
  const one = async (jobId: string): Promise<State | null> => {
    const { body } = await get(`${httpUrl}api/jobs/${encodeURIComponent(jobId)}?`, headers);
    return readWhole(body);
  };
  // Whoever may see some jobs only may not list them, and does without the store's clock.
  const page = get(`${httpUrl}api/jobs?limit=1&`, headers).catch(() => null);
  const [clock, ...states] = await Promise.all([page, ...jobIds.slice(0, MOST).map(one)]);
  const nowUs = isObject(clock?.body) && typeof clock.body.now_us === "number" ? clock.body.now_us : null;
  return { nowUs, states: states.filter((state) => state !== null) };
}
