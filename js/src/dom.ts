/** The few things that the views do with nodes. */

export const PREFIX = "jobprogress-";

/**
 * Put a style sheet into the document or shadow root of an element, once. Detached elements count as the document's.
 *
 * A page whose policy allows no styles of scripts links a file with the same mark instead.
 */
export function styleRoot(el: Element, text: string, name: string): void {
  const root = el.getRootNode();
  const scope = root instanceof ShadowRoot ? root : el.ownerDocument.head;
  if (scope.querySelector(`[data-${PREFIX}${name}]`) !== null) return;
  const style = el.ownerDocument.createElement("style");
  style.setAttribute(`data-${PREFIX}${name}`, "");
  // The build writes the prefix of the classes, and the use of a variable, as one sign each.
  style.textContent = text.replaceAll("$", PREFIX).replaceAll("^", "var(--job-");
  scope.append(style);
}

export function make(doc: Document, name: string, parent?: Element, tag = "div"): HTMLElement {
  const el = doc.createElement(tag);
  el.className = PREFIX + name;
  parent?.append(el);
  return el;
}

// Assigning the same value again would still cost a layout, and make screen readers speak.
export function put(el: HTMLElement, text: string): void {
  if (el.textContent !== text) el.textContent = text;
  if (el.hidden !== (text === "")) el.hidden = text === "";
}

export function attribute(el: Element, name: string, value: string | null): void {
  if (value === null) el.removeAttribute(name);
  else if (el.getAttribute(name) !== value) el.setAttribute(name, value);
}
