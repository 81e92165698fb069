import type { Headers } from "../poll";
import { type Fields, isObject, text } from "../protocol";
import { JobProgressError } from "./errors";

/** Ask a server, and answer the object that it said. Throws JobProgressError. */
export async function ask(url: string, method: "GET" | "POST", headers: Headers): Promise<Fields> {
  // A Jupyter server wants this from its own pages, which have no other credential than a cookie.
  const cookie = typeof document === "undefined" ? "" : document.cookie;
  const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(cookie)?.[1];
  const own: Headers = xsrf === undefined ? {} : { "X-XSRFToken": decodeURIComponent(xsrf) };
  const body = method === "POST" ? { body: "{}" } : {};
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers: method === "GET" ? headers : { "Content-Type": "application/json", ...own, ...headers },
      ...body,
    });
  } catch (error) {
    throw new JobProgressError(`The server did not answer: ${error}`, "http");
  }
  const answer: unknown = await response.json().catch(() => null);
  const fields = isObject(answer) ? answer : {};
  if (response.ok) return fields;
  const message = text(fields.message) ?? `The server answered ${response.status}.`;
  throw new JobProgressError(message, text(fields.code) ?? "http", response.status);
}
