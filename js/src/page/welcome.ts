import { make } from "../dom";
import type { ServerLocation } from "../location";
import { post } from "../more/server";

const DAY_S = 86_400;
/** What stands where the token goes until somebody asks for one. */
const BLANK = "…";
const JOB_ID = "first-job";

/** What a server without jobs shows: the lines that report the first one. */
export class Welcome {
  readonly el: HTMLElement;
  readonly #lines: ReadonlyArray<readonly [el: HTMLElement, lines: (url: string, token: string) => string]>;
  readonly #said: HTMLElement;
  #url: string;
  #token = BLANK;

  constructor(
    private readonly doc: Document,
    private readonly server: ServerLocation,
  ) {
    this.#url = server.httpUrl;
    this.el = make(doc, "welcome", undefined, "section");
    make(doc, "h", this.el, "h2").textContent = "No jobs yet";
    make(doc, "intro", this.el, "p").textContent =
      "A job appears here with its first report. These lines report one, from this machine or any that reaches it.";
    const row = make(doc, "tokenrow", this.el);
    const button = make(doc, "primary", row, "button") as HTMLButtonElement;
    button.type = "button";
    button.textContent = "Put a token into the lines";
    button.addEventListener("click", () => void this.#fill(button));
    this.#said = make(doc, "said", row, "span");
    this.#said.setAttribute("role", "status");
    this.#said.textContent = "For a day, to report this job and for nothing else.";
    const blocks = make(doc, "blocks", this.el);
    this.#lines = [
      [this.#block(blocks, "Shell"), shellLines],
      [this.#block(blocks, "Python"), pythonLines],
    ];
    this.#draw();
  }

  #block(parent: HTMLElement, name: string): HTMLElement {
    const block = make(this.doc, "block", parent);
    const head = make(this.doc, "blockhead", block);
    make(this.doc, "h", head, "h3").textContent = name;
    const copy = make(this.doc, "quiet", head, "button") as HTMLButtonElement;
    copy.type = "button";
    copy.textContent = "Copy";
    copy.setAttribute("aria-label", `Copy the lines for ${name}`);
    const code = make(this.doc, "code", block, "pre");
    // It scrolls where it is too wide, and must do so for a keyboard, too.
    code.tabIndex = 0;
    code.setAttribute("role", "region");
    code.setAttribute("aria-label", `Lines for ${name}`);
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent ?? "");
        copy.textContent = "Copied";
      } catch {
        // Pages over plain HTTP have no clipboard: the lines are marked for the keyboard to copy.
        this.doc.defaultView?.getSelection()?.selectAllChildren(code);
      }
    });
    return code;
  }

  async #fill(button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    try {
      const asked = { job_id: JOB_ID, actions: ["report"], expires_in_s: DAY_S };
      const { url, token } = await post(this.server, "api/tickets", asked);
      if (typeof url !== "string" || typeof token !== "string") throw new Error("The server gave no token.");
      this.#url = url;
      this.#token = token;
      button.hidden = true;
      this.#said.textContent = "Their token is good for a day, to report this job and for nothing else.";
      this.#draw();
    } catch (error) {
      this.#said.textContent = error instanceof Error ? error.message : String(error);
      button.disabled = false;
    }
  }

  #draw(): void {
    for (const [el, lines] of this.#lines) el.textContent = lines(this.#url, this.#token);
  }
}

export function shellLines(url: string, token: string): string {
  return `curl -H 'Authorization: JobProgress ${token}' \\
  -d '{"progress": 0.4, "message": "Hello from curl"}' \\
  '${url}api/jobs/${JOB_ID}/updates'`;
}

export function pythonLines(url: string, token: string): string {
  return `# pip install jupyter_jobprogress
import time
from jupyter_jobprogress import Settings, track

here = Settings(
    url=${JSON.stringify(url)},
    token=${JSON.stringify(token)},
)
for _ in track(range(100), "${JOB_ID}", settings=here):
    time.sleep(0.1)`;
}
