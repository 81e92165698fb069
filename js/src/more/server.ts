import type { ServerLocation } from "../location";
import { isObject } from "../protocol";
import { xsrfHeaders } from "../xsrf";

/** Post to the server as its own pages do. Rejects with a sentence for people. */
export async function post(
  server: ServerLocation,
  path: string,
  body: object,
): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(server.httpUrl + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...xsrfHeaders() },
    body: JSON.stringify(body),
  });
  const answer: unknown = await response.json().catch(() => null);
  const fields = isObject(answer) ? answer : {};
  if (response.ok) return fields;
  if (response.status === 401 || response.status === 403) throw new Error("The server does not allow you to do this.");
  throw new Error(typeof fields.message === "string" ? fields.message : `The server answered ${response.status}.`);
}
