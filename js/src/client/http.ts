import { type Fields, isObject, text } from "../protocol";
import { type Headers, xsrfHeaders } from "../xsrf";
import { JobProgressError } from "./errors";

/** Ask a server, and answer the object that it said. Throws JobProgressError. */
export async function ask(url: string, method: "GET" | "POST", headers: Headers): Promise<Fields> {
  const own = { ...xsrfHeaders(), ...headers };
  const body = method === "POST" ? { body: "{}" } : {};
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers: method === "GET" ? own : { "Content-Type": "application/json", ...own },
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
