export type Headers = Readonly<Record<string, string>>;

/**
 * What a Jupyter server wants with a request of its own pages, whose credential is a cookie: proof that they can read one.
 *
 * With every request, as JupyterLab does: Jupyter Server asks it of POST alone, JupyterHub of GET by `fetch`, too.
 */
export function xsrfHeaders(): Headers {
  const cookie = typeof document === "undefined" ? "" : document.cookie;
  const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(cookie)?.[1];
  return xsrf ? { "X-XSRFToken": decodeURIComponent(xsrf) } : {};
}
