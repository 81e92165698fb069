import { isObject } from "../protocol";
import { xsrfHeaders } from "../xsrf";

/** Whether the page's server answers, and whether it has jobs. */
export type Pulse = "jobs" | "empty" | "signed out" | "forbidden" | "away";

const EMPTY_MS = 2_000;
const USUAL_MS = 15_000;

/** Ask a server how it is: often while something is missing, seldom else, and never for a page that nobody sees. */
export function watchPulse(doc: Document, httpUrl: string, tell: (pulse: Pulse) => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const beat = async () => {
    clearTimeout(timer);
    const pulse = await ask(httpUrl);
    tell(pulse);
    clearTimeout(timer);
    if (doc.visibilityState === "visible")
      timer = setTimeout(() => void beat(), pulse === "jobs" ? USUAL_MS : EMPTY_MS);
  };
  doc.addEventListener("visibilitychange", () => void (doc.visibilityState === "visible" && beat()));
  void beat();
}

async function ask(httpUrl: string): Promise<Pulse> {
  try {
    const response = await fetch(`${httpUrl}api/jobs?limit=1&no_track_activity=1`, { headers: xsrfHeaders() });
    if (response.status === 401) return "signed out";
    if (response.status === 403) return "forbidden";
    const page: unknown = await response.json();
    if (!response.ok || !isObject(page) || !Array.isArray(page.jobs)) return "away";
    return page.jobs.length > 0 ? "jobs" : "empty";
  } catch {
    return "away";
  }
}
