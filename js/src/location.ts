/** Where the page's own server is, and what opens it. */
export interface ServerLocation {
  /** Address of `ws/jobs`, without a credential: it names the connection. */
  readonly url: string;
  /** What the socket is opened with: may hold a token where no cookie goes, so it is never shown or logged. */
  readonly socketUrl: string;
  /** Address of the server's HTTP part, `…/jobprogress/`: always of the page's own origin. */
  readonly httpUrl: string;
}

const CONFIG_ID = "jupyter-config-data";
const PATH = "jobprogress/ws/jobs";

interface PageConfig {
  readonly baseUrl: string;
  readonly wsUrl: string;
  readonly token: string;
}

/**
 * Find the Jupyter server of this page, or null where there is none: a saved HTML file, VS Code, marimo.
 *
 * `serverUrl` is a base URL that somebody named outright. A notebook could name anything, so that one of another
 * origin is ignored, and the page's token goes to the page's own server alone.
 */
export function findServer(doc: Document, page: Location, serverUrl = ""): ServerLocation | null {
  if (page.protocol !== "http:" && page.protocol !== "https:") return null;
  const config = readPageConfig(doc);
  const named = serverUrl === "" ? null : baseOf(serverUrl, page.href);
  const own = config && baseOf(config.baseUrl, page.href);
  if (named !== null && named.origin === page.origin && named.href !== own?.href) {
    // No token: on a JupyterHub another path of the same origin is another person's server.
    return locate(named, "", "", page);
  }
  return own && config && locate(own, config.wsUrl, config.token, page);
}

function locate(base: URL, wsUrl: string, token: string, page: Location): ServerLocation {
  const url = new URL(PATH, socketBase(base, wsUrl));
  url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
  const socket = new URL(url);
  // As JupyterLab does for its own sockets: the cookie of this page opens those of its host, and a token in a URL would
  // be printed into the console whenever the server is away. Another host, named by the server, gets no cookie.
  if (token !== "" && wsUrl !== "" && url.host !== page.host) socket.searchParams.set("token", token);
  return { url: url.href, socketUrl: socket.href, httpUrl: new URL("jobprogress/", base).href };
}

function socketBase(base: URL, wsUrl: string): URL {
  const other = wsUrl === "" ? null : baseOf(wsUrl, base.href);
  if (other === null) return base;
  // Jupyter Server documents `websocket_url` as an origin without a path, JupyterLab takes it for a whole base URL.
  return other.pathname === "/" ? new URL(base.pathname, other) : other;
}

function baseOf(url: string, href: string): URL | null {
  try {
    const base = new URL(url, href);
    if (!["http:", "https:", "ws:", "wss:"].includes(base.protocol)) return null;
    base.search = base.hash = "";
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    return base;
  } catch {
    return null;
  }
}

function readPageConfig(doc: Document): PageConfig | null {
  const found = parseConfig(doc.getElementById(CONFIG_ID)?.textContent) ?? doc.body?.dataset ?? {};
  const option = (name: string): string => {
    const value: unknown = Reflect.get(found, name);
    return typeof value === "string" ? value : "";
  };
  return option("baseUrl") === ""
    ? null
    : { baseUrl: option("baseUrl"), wsUrl: option("wsUrl"), token: option("token") };
}

function parseConfig(text: string | null | undefined): object | null {
  try {
    const config: unknown = JSON.parse(text ?? "");
    return typeof config === "object" ? config : null;
  } catch {
    return null;
  }
}
