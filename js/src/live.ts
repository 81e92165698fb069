/** What a page needs only where a server may be in reach: the connection, and the way to it. */

import type { Live } from "./lazy";
import { findServer } from "./location";
import { connectionTo } from "./registry";
import { snapshot } from "./snapshot";

export const bundle: Live = {
  findSource(doc, url) {
    const server = findServer(doc, location, url);
    return server === null ? { kind: "saved" } : { kind: "server", connection: connectionTo(server), server };
  },
  snapshot,
};
