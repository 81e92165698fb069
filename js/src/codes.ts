/** Close codes and error codes of the WebSocket: one table, the same in `jupyter_jobprogress/protocol/codes.py`. */

export const CloseCode = {
  GOING_AWAY: 1001,
  INTERNAL_ERROR: 1011,
  SERVICE_RESTART: 1012,
  TRY_AGAIN_LATER: 1013,
  BAD_MESSAGE: 4400,
  UNAUTHORIZED: 4401,
  FORBIDDEN: 4403,
  SLOW_VIEWER: 4408,
  IDLE: 4410,
  TOO_MANY: 4429,
} as const;

/** Why this side closes a socket. 3000 to 3999 is the range that RFC 6455 leaves to libraries. */
export const ClientCode = {
  NOTHING_WATCHED: 3000,
  SILENT: 3001,
  NO_SOCKET: 3002,
} as const;

/** Whether a client comes back after this close code (rule 30). Unknown codes mean that the connection broke. */
export function retries(code: number): boolean {
  const { BAD_MESSAGE, UNAUTHORIZED, FORBIDDEN, IDLE } = CloseCode;
  const final: readonly number[] = [BAD_MESSAGE, UNAUTHORIZED, FORBIDDEN, IDLE];
  return !final.includes(code);
}

export const ERROR_CODES: ReadonlySet<string> = new Set([
  "invalid_message",
  "invalid_job_id",
  "invalid_progress",
  "state_too_large",
  "history_too_large",
  "nesting_too_deep",
  "too_many_ids",
  "too_many_metrics",
  "too_many_subscriptions",
  "unauthorized",
  "forbidden",
  "store_unavailable",
  "internal",
]);
