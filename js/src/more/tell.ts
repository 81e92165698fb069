import type { Card } from "../describe";
import { want } from "../wanted";

/** Ask for the permission to notify: browsers let only a click do so. Without it the title of the tab still tells. */
export function mayNotify(): void {
  if (typeof Notification !== "undefined" && Notification.permission === "default")
    void Notification.requestPermission();
}

/** Tell of the end of a job by a notification without a sound and by the title of the tab, unless somebody looks at it. */
export function tell(doc: Document, jobId: string, { title, word, facts }: Card): void {
  want(jobId, false);
  if (doc.visibilityState === "visible") return;
  const before = doc.title;
  doc.title = `${word}: ${title}`;
  const back = () => {
    if (doc.visibilityState !== "visible") return;
    doc.removeEventListener("visibilitychange", back);
    doc.title = before;
  };
  doc.addEventListener("visibilitychange", back);
  if (typeof Notification === "undefined" || Notification.permission !== "granted") return;
  new Notification(`${title}: ${word}`, { body: facts.join(" · "), silent: true, tag: jobId });
}
