import type { Card } from "../describe";
import { want } from "../wanted";

/** The icon of the tab while something is told. What has to be put back hangs on it: a page may run this in two bundles. */
const MARK = "data-jobprogress-told";

/** Ask for the permission to notify: browsers let only a click do so. Without it the tab still tells. */
export function mayNotify(): void {
  if (typeof Notification !== "undefined" && Notification.permission === "default")
    void Notification.requestPermission();
}

/**
 * Tell of the end of a job, unless somebody looks: by a notification without a sound, the title and the icon of the tab.
 *
 * Title and icon stay until the tab is looked at, and then are what they were.
 */
export function tell(doc: Document, jobId: string, { title, word, facts, tone }: Card): void {
  want(jobId, false);
  if (doc.visibilityState === "visible") return;
  const icon = doc.head.querySelector<HTMLLinkElement>(`[${MARK}]`) ?? begin(doc);
  const ends = Number(icon.dataset.ends ?? 0) + 1;
  icon.dataset.ends = String(ends);
  // One that failed is what somebody has to see, however many went well after it.
  if (tone !== "good") icon.dataset.bad = "true";
  icon.href = badge(icon.dataset.bad === undefined);
  doc.title = `${word}: ${title}${ends > 1 ? ` (+${ends - 1})` : ""}`;
  icon.dataset.told = doc.title;
  // Seen where the page is installed as an application.
  if ("setAppBadge" in navigator) navigator.setAppBadge(ends).catch(() => {});
  if (typeof Notification === "undefined" || Notification.permission !== "granted") return;
  try {
    new Notification(`${title}: ${word}`, { body: facts.join(" · "), silent: true, tag: jobId });
  } catch {
    // Chrome on Android lets only service workers notify, and says so by a TypeError. The tab tells it.
  }
}

function begin(doc: Document): HTMLLinkElement {
  const icon = doc.createElement("link");
  icon.rel = "icon";
  icon.type = "image/svg+xml";
  icon.setAttribute(MARK, doc.title);
  // The last one counts. Those of the page are left alone: JupyterLab changes its own while a kernel is busy.
  doc.head.append(icon);
  const back = () => {
    if (doc.visibilityState !== "visible") return;
    doc.removeEventListener("visibilitychange", back);
    icon.remove();
    if ("clearAppBadge" in navigator) navigator.clearAppBadge().catch(() => {});
    // What the page itself has put there meanwhile is newer.
    if (doc.title === icon.dataset.told) doc.title = icon.getAttribute(MARK) ?? "";
  };
  doc.addEventListener("visibilitychange", back);
  return icon;
}

/** A disc with the sign of the end: by its shape as well as by its colour. */
function badge(good: boolean): string {
  const sign = good ? "M4 8.5 7 11.5 12 5" : "M5 5l6 6M11 5l-6 6";
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="8" fill="${good ? "#2e7d32" : "#c62828"}"/><path d="${sign}" fill="none" stroke="#fff" stroke-width="2"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
