import { Connection, type Socket } from "./connection";
import type { ServerLocation } from "./location";

/**
 * Raise it with every change of what one bundle calls on another's `Connection`.
 *
 * A page may run bundles of two releases at once: the renderer from the server, a widget from an older kernel.
 * Each release that agrees on this number shares; the others open a socket of their own.
 */
const VERSION = 1;
const KEY = Symbol.for("jupyter_jobprogress");

type Connections = Map<string, Connection>;
type Shared = Record<number, Connections>;

/** Answer the page's one connection to a server. Jupyter runs a module once for each widget, so it hangs on the page. */
export function connectionTo(server: ServerLocation): Connection {
  const page = globalThis as { [KEY]?: Shared };
  page[KEY] ??= {};
  const shared = page[KEY];
  shared[VERSION] ??= new Map();
  const connections = shared[VERSION];
  let connection = connections.get(server.url);
  if (connection === undefined) {
    connection = open(server);
    connections.set(server.url, connection);
  }
  return connection;
}

function open(server: ServerLocation): Connection {
  const connection = new Connection(server.socketUrl, {
    open: (url) => new WebSocket(url) as Socket,
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
    random: Math.random,
    nowMs: () => performance.now(),
  });
  // Never removed: connections live as long as the page, at rest without a socket.
  addEventListener("online", () => connection.wake());
  addEventListener("pageshow", () => connection.wake());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") connection.wake();
  });
  return connection;
}
