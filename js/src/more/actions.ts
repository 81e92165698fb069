import { make, put } from "../dom";
import type { Job } from "../job";
import { isTerminal } from "../protocol";
import { isWanted, want } from "../wanted";
import { post } from "./server";
import { mayNotify } from "./tell";

const WEEK_S = 604_800;
/** How long the second click of a cancellation is waited for. */
const SURE_MS = 5_000;
const SAID_MS = 3_000;

/** The buttons of a job. */
export class Actions {
  readonly el: HTMLElement;
  readonly #cancel: HTMLElement;
  readonly #stays: HTMLElement;
  readonly #tell: HTMLElement;
  readonly #said: HTMLElement;
  #sure: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #forbidden = false;

  constructor(
    private readonly doc: Document,
    private readonly job: Job,
  ) {
    this.el = make(doc, "actions");
    this.#cancel = this.#button("Cancel job", () => this.#cancelled());
    this.#stays = this.#button("Copy id", () => this.#copy(job.jobId, "Id copied"));
    const report = this.#button("Report from elsewhere", () => this.#copyReport());
    report.title =
      "Copy the lines with which a job on another machine reports here. They hold a token for this job alone.";
    report.hidden = this.#server === null;
    this.#tell = this.#button("Tell me when it ends", () => {
      want(job.jobId, !isWanted(job.jobId));
      if (isWanted(job.jobId)) mayNotify();
    });
    this.#said = make(doc, "said", this.el, "span");
    this.#said.setAttribute("role", "status");
  }

  draw(): void {
    const { state, cancelRequested } = this.job;
    const live = state !== null && !isTerminal(state.status);
    this.#hide(this.#cancel, !live || this.#server === null || this.#forbidden || cancelRequested);
    this.#hide(this.#tell, state !== null && !live);
    this.#tell.setAttribute("aria-pressed", String(isWanted(this.job.jobId)));
  }

  dispose(): void {
    clearTimeout(this.#sure);
    clearTimeout(this.#silence);
  }

  /** Whoever stands on a button by the keyboard is not sent to the top of the page when it goes. */
  #hide(button: HTMLElement, hidden: boolean): void {
    if (hidden && button.matches(":focus")) this.#stays.focus();
    button.hidden = hidden;
  }

  get #server() {
    return this.job.source.kind === "server" ? (this.job.source.server ?? null) : null;
  }

  /** The first click asks, the second does it: a job of days is not lost to a slip. */
  async #cancelled(): Promise<void> {
    if (this.#sure === undefined) {
      this.#cancel.textContent = "Really cancel?";
      this.#cancel.dataset.sure = "true";
      this.#sure = setTimeout(() => this.#calm(), SURE_MS);
      return;
    }
    this.#calm();
    if (this.#server === null) return;
    try {
      await post(this.#server, `api/jobs/${encodeURIComponent(this.job.jobId)}/cancel`, {});
      this.job.cancelling();
      this.#say("Cancel requested");
    } catch (error) {
      this.#forbidden = error instanceof Error && error.message.includes("not allow");
      this.#fail(error);
    }
    this.draw();
  }

  #calm(): void {
    clearTimeout(this.#sure);
    this.#sure = undefined;
    this.#cancel.textContent = "Cancel job";
    delete this.#cancel.dataset.sure;
  }

  async #copyReport(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    try {
      const asked = { job_id: this.job.jobId, actions: ["report"], expires_in_s: WEEK_S };
      const { url, token } = await post(server, "api/tickets", asked);
      if (typeof url !== "string" || typeof token !== "string") throw new Error("The server gave no ticket.");
      await this.#copy(reportLines(url, token, this.job.jobId), "Lines copied; their token is good for a week");
    } catch (error) {
      this.#fail(error);
    }
  }

  async #copy(text: string, said: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      this.#say(said);
    } catch {
      // Pages over plain HTTP and sandboxed ones have no clipboard: the text can still be copied by hand.
      this.#say(text);
      clearTimeout(this.#silence);
    }
  }

  #fail(error: unknown): void {
    this.#say(error instanceof Error ? error.message : String(error));
  }

  #say(text: string): void {
    put(this.#said, text);
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => put(this.#said, ""), SAID_MS);
  }

  #button(label: string, run: () => unknown): HTMLElement {
    const button = make(this.doc, "button", this.el, "button");
    button.setAttribute("type", "button");
    button.textContent = label;
    button.addEventListener("click", () => {
      run();
      this.draw();
    });
    return button;
  }
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** What a job on another machine needs to report here: for Python, and as one request for everything else. */
export function reportLines(url: string, token: string, jobId: string): string {
  return [
    `export JOBPROGRESS_URL=${quote(url)}`,
    `export JOBPROGRESS_TOKEN=${quote(token)}`,
    `curl -H "Authorization: JobProgress $JOBPROGRESS_TOKEN" -d '{"progress":0.5}' "\${JOBPROGRESS_URL}api/jobs/${jobId}/updates"`,
    "",
  ].join("\n");
}
