/** The gallery page: every line, the details and the table, drawn by the code that draws them in a notebook. */

import { Board } from "../src/board";
import { StoreClock } from "../src/clock";
import type { Connection } from "../src/connection";
import { describe } from "../src/describe";
import { make } from "../src/dom";
import { Job, type Source } from "../src/job";
import { provide } from "../src/lazy";
import { Details } from "../src/more/details";
import { PartJobs } from "../src/more/family";
import { bundle } from "../src/more/index";
import { Table } from "../src/more/table";
import { readWhole, type State } from "../src/protocol";
import { reduce } from "../src/reducer";
import { connectionTo } from "../src/registry";
import { snapshot } from "../src/snapshot";
import { CardView, styleLines } from "../src/view";
import { FAILED, FULL, many, NOW_US, PARTS, STATES } from "./states";

provide({ more: async () => bundle, live: () => Promise.reject(new Error("The gallery has no server.")) });

function frame(heading: string): HTMLElement {
  const h2 = make(document, "gallery", document.body, "h2");
  h2.textContent = heading;
  return make(document, "board", document.body);
}

/** A source whose clock stands at the time of the gallery. */
function source(): Source {
  const clock = new StoreClock(() => 0);
  clock.set(NOW_US);
  return { kind: "relay", clock };
}

function opened(board: HTMLElement, state: State, parts: readonly State[] = []): void {
  const job = new Job(state.job_id, source(), () => {});
  job.relay(state);
  if (parts.length > 0) {
    const family = new PartJobs(job.source, () => {});
    family.add(parts.map(({ job_id }) => job_id));
    for (const part of parts) family.jobs.get(part.job_id)?.relay(part);
    Object.defineProperty(job, "family", { value: family });
  }
  const view = new CardView(document);
  board.append(view.el);
  view.toggle();
  const card = job.card("en");
  view.draw(parts.length > 0 ? { ...card, fraction: 0.51, percent: "51%" } : card);
  const details = new Details(document, job);
  view.panel.append(details.el);
  details.draw();
}

function draw(): void {
  const lines = frame("Lines");
  for (const { name, state, around } of STATES) {
    const view = new CardView(document);
    view.el.dataset.name = name;
    view.draw(describe("train-7", state && reduce(null, state, NOW_US), around));
    lines.append(view.el);
  }
  styleLines(lines);
  const details = frame("Details");
  if (FULL) opened(details, FULL);
  if (FAILED) opened(details, FAILED);
  const [first] = PARTS;
  if (first)
    opened(frame("Parts"), { ...first, job_id: "sweep", title: "Sweep", status: "processing", more: {} }, PARTS);
  const table = new Table(document, source(), { status: "", text: "" }, () => {});
  for (const state of many(1000)) table.add(state);
  frame("Table").append(table.el);
  table.draw();
}

draw();

/** Bars of jobs that a server at this address knows, and nothing else on the page. */
function watch(url: string, jobIds: readonly string[]): Connection {
  const address = { url, socketUrl: url, httpUrl: "http://127.0.0.1:9/" };
  const connection = connectionTo(address);
  document.body.replaceChildren();
  // As in a notebook: an output for each.
  for (const jobId of jobIds) {
    const board = new Board(document, { kind: "server", connection });
    document.body.append(board.el);
    board.show([jobId], {});
  }
  return connection;
}

// For tests: any state with all its details, and what is left of it in a file.
Object.assign(globalThis, {
  watch,
  showOpened(value: unknown) {
    const state = readWhole(value);
    if (state !== null) opened(frame("Opened"), state);
  },
  exported: (texts: readonly string[]) => {
    const cards = texts.map((text) => {
      const fields = { title: text, stage: text, message: text, error: text, unit: text, n: 1 };
      const state = readWhole({ job_id: "evil", status: "failed", ...fields });
      return describe("evil", state && reduce(null, state, NOW_US), { link: "saved", nowUs: null });
    });
    return snapshot(document, cards).html;
  },
});
