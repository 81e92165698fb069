/** What a page needs only where a server may be in reach: the connection and the way to it, parts, and the table. */

import { StoreClock } from "./clock";
import type { Source } from "./job";
import type { Live } from "./lazy";
import { findServer, type ServerLocation } from "./location";
import { PartJobs } from "./more/family";
import { Table } from "./more/table";
import { tell } from "./more/tell";
import { isObject } from "./protocol";
import { connectionTo } from "./registry";
import { snapshot } from "./snapshot";
import { xsrfHeaders } from "./xsrf";

/** Whether servers have our extension, by their addresses: asked once a page. */
const serving = new Map<string, Promise<boolean>>();

export const bundle: Live = {
  findSource(doc, url) {
    const server = findServer(doc, location, url);
    return server === null ? { kind: "saved" } : toServer(server);
  },
  async chooseSource(doc, url, inKernel) {
    if (inKernel) return toKernel("no server knows this job.");
    const server = findServer(doc, location, url);
    if (server === null) return toKernel("this page has no Jupyter server.");
    if (await serves(server.httpUrl)) return toServer(server);
    return toKernel("jupyter_jobprogress is not enabled on the server of this page.");
  },
  snapshot,
  table: (doc, source, filter, open) => new Table(doc, source, filter, open),
  family: (source, changed) => new PartJobs(source, changed),
  tell,
};

function toServer(server: ServerLocation): Source {
  return { kind: "server", connection: connectionTo(server), server };
}

function toKernel(why: string): Source {
  return { kind: "relay", clock: new StoreClock(() => performance.now()), why };
}

function serves(httpUrl: string): Promise<boolean> {
  const asked = serving.get(httpUrl) ?? ask(httpUrl);
  serving.set(httpUrl, asked);
  return asked;
}

async function ask(httpUrl: string): Promise<boolean> {
  try {
    const response = await fetch(`${httpUrl}health?no_track_activity=1`, {
      headers: xsrfHeaders(),
      redirect: "manual",
    });
    if (response.status === 404 || response.type === "opaqueredirect") return false;
    // Whatever else it says, it is for the connection to find out; but a page in place of an answer is none of ours.
    return !response.ok || isObject(await response.json());
  } catch (error) {
    return error instanceof TypeError; // away, at least for now
  }
}
