import { beforeEach, expect, test } from "vitest";
import { findServer } from "../src/location";

function page(href: string): Location {
  const url = new URL(href);
  const { protocol, origin, host } = url;
  return { href, protocol, origin, host } as Location;
}

function config(options: object | string): Document {
  const doc = document.implementation.createHTMLDocument();
  const script = doc.createElement("script");
  script.id = "jupyter-config-data";
  script.textContent = typeof options === "string" ? options : JSON.stringify(options);
  doc.head.append(script);
  return doc;
}

const lab = page("https://hub.example/user/ann/lab/tree/a.ipynb?x=1");
let ann: Document;

beforeEach(() => {
  ann = config({ baseUrl: "/user/ann/", token: "secret" });
});

test("the page's server is found by its configuration, and its cookie opens it", () => {
  expect(findServer(ann, lab)).toEqual({
    url: "wss://hub.example/user/ann/jobprogress/ws/jobs",
    socketUrl: "wss://hub.example/user/ann/jobprogress/ws/jobs",
    httpUrl: "https://hub.example/user/ann/jobprogress/",
  });
});

test("plain http has a plain socket, and no token is no question mark", () => {
  const server = findServer(config({ baseUrl: "/" }), page("http://localhost:8888/lab"));

  expect(server?.socketUrl).toBe("ws://localhost:8888/jobprogress/ws/jobs");
});

test("the data attributes of the body serve where there is no script", () => {
  const doc = document.implementation.createHTMLDocument();
  doc.body.dataset.baseUrl = "/base";

  expect(findServer(doc, lab)?.url).toBe("wss://hub.example/base/jobprogress/ws/jobs");
});

test("wsUrl is used as an origin or as a whole base, and gets the token, since no cookie goes there", () => {
  const origin = config({ baseUrl: "/user/ann/", wsUrl: "wss://sockets.example", token: "secret" });
  const base = config({ baseUrl: "/user/ann/", wsUrl: "wss://sockets.example/ann", token: "secret" });

  expect(findServer(origin, lab)?.socketUrl).toBe("wss://sockets.example/user/ann/jobprogress/ws/jobs?token=secret");
  expect(findServer(base, lab)?.socketUrl).toBe("wss://sockets.example/ann/jobprogress/ws/jobs?token=secret");
});

test("a base URL on another origin gets no token", () => {
  const doc = config({ baseUrl: "//evil.example/", token: "secret" });

  expect(findServer(doc, lab)?.socketUrl).toBe("wss://evil.example/jobprogress/ws/jobs");
});

test("there is no server without a configuration, in a file, or where it cannot be read", () => {
  expect(findServer(document.implementation.createHTMLDocument(), lab)).toBeNull();
  expect(findServer(ann, page("file:///tmp/a.html"))).toBeNull();
  expect(findServer(ann, page("vscode-webview://abc/index.html"))).toBeNull();
  for (const broken of ["{", "null", "7", "[]", '{"baseUrl":7}', '{"baseUrl":"http://"}'])
    expect(findServer(config(broken), lab)).toBeNull();
});

test("a named server of this origin is asked, without the token of another person's", () => {
  expect(findServer(ann, lab, "/user/eve/")?.socketUrl).toBe("wss://hub.example/user/eve/jobprogress/ws/jobs");
  expect(findServer(ann, lab, "https://hub.example/user/ann")?.socketUrl).toContain("/user/ann/jobprogress/ws/jobs");
});

test("a named server of another origin is ignored", () => {
  for (const url of ["https://evil.example/", "//evil.example", "javascript:alert(1)", "http://hub.example/"])
    expect(findServer(ann, lab, url)?.url).toBe("wss://hub.example/user/ann/jobprogress/ws/jobs");
});
