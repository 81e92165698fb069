/** Messages of docs/protocol.md, section 6. */

import { integer, isJobId, isObject, readJobIds, readWhole, type State, text } from "./protocol";

export type ServerMessage =
  | { readonly type: "state"; readonly state: State }
  | { readonly type: "connected" | "ping"; readonly nowUs: number | null }
  | { readonly type: "subscribed"; readonly jobIds: string[]; readonly missing: string[] }
  | { readonly type: "error"; readonly code: string; readonly message: string; readonly jobId: string | null }
  | { readonly type: "children"; readonly parentId: string; readonly jobIds: string[] }
  | { readonly type: "store"; readonly up: boolean };

/** Read one message of the server, or null if it is of no known kind (rules 25 to 29). */
export function readMessage(value: unknown): ServerMessage | null {
  if (!isObject(value)) return null;
  switch (value.type) {
    case undefined: {
      const state = readWhole(value);
      return state && { type: "state", state };
    }
    case "connected":
    case "ping":
      return { type: value.type, nowUs: integer(value.now_us) ?? null };
    case "subscribed":
      return { type: "subscribed", jobIds: readJobIds(value.job_ids), missing: readJobIds(value.missing) };
    case "error":
      return {
        type: "error",
        code: text(value.code) ?? "internal",
        message: text(value.message) ?? "",
        jobId: isJobId(value.job_id) ? value.job_id : null,
      };
    case "children":
      return isJobId(value.parent_id)
        ? { type: "children", parentId: value.parent_id, jobIds: readJobIds(value.job_ids) }
        : null;
    case "store":
      return typeof value.up === "boolean" ? { type: "store", up: value.up } : null;
    default:
      return null;
  }
}
