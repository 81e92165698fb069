/** Jobs that somebody wants to be told of. In the tab's own storage: they outlive a reload and nothing else. */
const KEY = "jobprogress:tell:";

function storage(): Storage | null {
  try {
    return sessionStorage;
  } catch {
    return null; // a sandboxed page has none, and throws
  }
}

export function isWanted(jobId: string): boolean {
  return storage()?.getItem(KEY + jobId) != null;
}

export function want(jobId: string, wanted: boolean): void {
  if (wanted) storage()?.setItem(KEY + jobId, "1");
  else storage()?.removeItem(KEY + jobId);
}
