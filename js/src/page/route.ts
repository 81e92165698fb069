import { isJobId } from "../protocol";

/** Jobs on one page: as many as a server takes from it, with room for their parts and for the table. */
const MOST = 100;

/** Read which jobs a URL of the page shows: `jobs/a`, or `?job=a&job=b` for several. `base` is that of the page. */
export function readRoute(url: string, base: string): string[] {
  const { pathname, searchParams } = new URL(url);
  const path = pathname.slice(new URL(base).pathname.length);
  const one = path.startsWith("jobs/") ? [decode(path.slice("jobs/".length))] : [];
  return [...new Set([...one, ...searchParams.getAll("job")])].filter(isJobId).slice(0, MOST);
}

/** The URL that shows these jobs, to be shared. */
export function routeTo(jobIds: readonly string[], base: string): string {
  const [first, ...others] = jobIds;
  const url = new URL(first !== undefined && others.length === 0 ? `jobs/${encodeURIComponent(first)}` : "./", base);
  if (others.length > 0) for (const jobId of jobIds) url.searchParams.append("job", jobId);
  return url.href;
}

/** Split what somebody typed or pasted, also an address of this page, into job ids and what is none. */
export function readTyped(text: string, base: string): { readonly jobIds: string[]; readonly wrong: string[] } {
  const jobIds: string[] = [];
  const wrong: string[] = [];
  for (const word of text.split(/[\s,;]+/).filter(Boolean)) {
    const found = word.startsWith(base) ? readRoute(word, base) : [word].filter(isJobId);
    if (found.length > 0) jobIds.push(...found);
    else wrong.push(word);
  }
  return { jobIds: [...new Set(jobIds)], wrong };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
