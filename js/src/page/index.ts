/** The page of a server at its root: jobs that somebody chose, and a table of all. */

import { make } from "../dom";
import type { Source } from "../job";
import { type Panel, provide } from "../lazy";
import { bundle as live } from "../live";
import type { ServerLocation } from "../location";
import { bundle as more } from "../more/index";
import { connectionTo } from "../registry";
import { type Pulse, watchPulse } from "./pulse";
import { Watching } from "./watching";
import { Welcome } from "./welcome";

const PROBLEMS: Readonly<Partial<Record<Pulse, string>>> = {
  "signed out": "You are no longer signed in.",
  forbidden: "The server does not let you see all jobs. Those whose ids you know may still be open to you.",
  away: "The server does not answer. What is shown may be out of date; it is tried again.",
};

provide({ more: async () => more, live: async () => live });

function locate(base: string): ServerLocation {
  const socket = new URL("ws/jobs", base);
  socket.protocol = socket.protocol.replace("http", "ws");
  return { url: socket.href, socketUrl: socket.href, httpUrl: base };
}

function start(doc: Document, page: Window): void {
  // The document says by its base where the server is, whatever stands before its path.
  const server = locate(doc.baseURI);
  const source: Source = { kind: "server", connection: connectionTo(server), server };

  const head = make(doc, "top", undefined, "header");
  const home = make(doc, "home", head, "a") as HTMLAnchorElement;
  home.href = doc.baseURI;
  home.setAttribute("aria-label", "Jobs");
  const icon = make(doc, "icon", home, "img") as HTMLImageElement;
  icon.src = doc.querySelector<HTMLLinkElement>("link[rel=icon]")?.href ?? "";
  icon.alt = "";
  make(doc, "h", home, "h1").textContent = "Jobs";
  const main = make(doc, "main", undefined, "main");
  const problem = make(doc, "problem", main);
  problem.setAttribute("role", "status");
  const watching = new Watching(doc, source, page);
  head.append(watching.form);
  main.append(watching.el);
  doc.body.append(head, main);

  let table: Panel | null = null;
  let welcome: Welcome | null = null;
  watchPulse(doc, server.httpUrl, (pulse) => {
    problem.replaceChildren(PROBLEMS[pulse] ?? "");
    if (pulse === "signed out") {
      const again = make(doc, "again", problem, "a") as HTMLAnchorElement;
      again.href = page.location.href;
      again.textContent = "Sign in";
    }
    problem.hidden = PROBLEMS[pulse] === undefined;
    if (pulse === "empty" && table === null && welcome === null) {
      welcome = new Welcome(doc, server);
      main.append(welcome.el);
    }
    if (pulse !== "jobs") return;
    welcome?.el.remove();
    welcome = null;
    table ??= all(doc, main, source, (jobId) => watching.add(jobId));
  });
}

function all(doc: Document, main: HTMLElement, source: Source, open: (jobId: string) => void): Panel {
  const section = make(doc, "all", main, "section");
  make(doc, "h", make(doc, "sectionhead", section), "h2").textContent = "All jobs";
  const table = live.table(doc, source, { status: "", text: "" }, open);
  make(doc, "board", section).append(table.el);
  table.draw();
  return table;
}

start(document, window);
