import { Connection, type Socket } from "./connection";
import type { ServerLocation } from "./location";
import { poll } from "./poll";
import { signedOut } from "./signedOut";
import type { Headers } from "./xsrf";

/**
 * Raise it with every change of what one bundle calls on another's `Connection`.
 *
 * A page may run bundles of two releases at once: the renderer from the server, a widget from an older kernel.
 * Each release that agrees on this number shares; the others open a socket of their own.
 */
const VERSION = 4;
const KEY = Symbol.for("jupyter_jobprogress");

/** Least time between two states of a job while nobody sees the page. A terminal one never waits. */
const HIDDEN_MS = 5_000;
const BEAT_MS = 1_000;
const LATE_MS = 4_000;

type Connections = Map<string, Connection>;
type Shared = Record<number, Connections>;

/** What a program outside of the server's own pages needs: a credential for HTTP, and a socket where there is none. */
export interface Means {
  readonly headers?: Headers;
  open?(url: string): Socket;
}

/** Answer the page's one connection to a server. Jupyter runs a module once for each widget, so it hangs on the page. */
export function connectionTo(server: ServerLocation, means: Means = {}): Connection {
  const page = globalThis as { [KEY]?: Shared };
  page[KEY] ??= {};
  const shared = page[KEY];
  shared[VERSION] ??= new Map();
  const connections = shared[VERSION];
  let connection = connections.get(server.url);
  if (connection === undefined) {
    connection = open(server, means);
    connections.set(server.url, connection);
  }
  return connection;
}

function open(server: ServerLocation, { headers = {}, open }: Means): Connection {
  const connection = new Connection(server.socketUrl, {
    open: open ?? ((url) => new WebSocket(url) as Socket),
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
    random: Math.random,
    nowMs: () => performance.now(),
    poll: (jobIds) => poll(server.httpUrl, jobIds, headers),
    // Of those alone who come by their cookie: a ticket, which opens a single job, would be answered the same.
    ...(Object.keys(headers).length === 0 && server.socketUrl === server.url
      ? { signedOut: () => signedOut(server.httpUrl) }
      : {}),
  });
  if (typeof document !== "undefined") followPage(connection);
  return connection;
}

function followPage(connection: Connection): void {
  // Never removed: connections live as long as the page, at rest without a socket.
  const wake = () => connection.wake();
  const shown = () => document.visibilityState === "visible";
  addEventListener("online", wake);
  addEventListener("offline", () => connection.sleep());
  addEventListener("pageshow", wake);
  document.addEventListener("resume", wake);
  document.addEventListener("visibilitychange", () => {
    connection.pace(shown() ? 0 : HIDDEN_MS);
    if (shown()) wake();
  });
  // A laptop that slept tells nobody. Timers that missed their time do; those of hidden pages are always late.
  let lastMs = Date.now();
  setInterval(() => {
    const nowMs = Date.now();
    if (shown() && nowMs - lastMs > BEAT_MS + LATE_MS) wake();
    lastMs = nowMs;
  }, BEAT_MS);
}
