/** What a server refused, or why it could not be asked. */
export class JobProgressError extends Error {
  override readonly name = "JobProgressError";

  /** `code` is one of docs/protocol.md, rule 31, or "http"; `status` is that of the answer, if there was one. */
  constructor(
    message: string,
    readonly code: string,
    readonly status: number | null = null,
  ) {
    super(message);
  }
}
