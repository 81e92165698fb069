import { xsrfHeaders } from "./xsrf";

/** Whether a server says that the page's cookie is nobody's, or not any more. Does not reject. */
export async function signedOut(httpUrl: string): Promise<boolean> {
  try {
    const response = await fetch(`${httpUrl}api/jobs?limit=1&no_track_activity=1`, { headers: xsrfHeaders() });
    return response.status === 401;
  } catch {
    return false; // away, or no server of ours
  }
}
