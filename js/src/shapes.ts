import type { Card, Shape } from "./describe";
import { attribute } from "./dom";

const CIRCLE = "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2";

/** Paths of the signs in a square of 16, drawn as lines: without colour and at the size of a letter they differ. */
const PATHS: Readonly<Record<Shape, string>> = {
  queued: `${CIRCLE}M8 5v3l2 1`,
  processing: "M5 3.5v9L12.5 8z",
  quiet: "M5.5 4v8M10.5 4v8",
  stalled: "M8 2.5 14.5 13.5H1.5zM8 6.5v3M8 11.5v.1",
  lost: "M1.5 6a9 9 0 0 1 13 0M4.2 9.2a5.2 5.2 0 0 1 7.6 0M8 12.8h.1M13 2 3 14",
  completed: "M3 8.5 6.5 12 13 4.5",
  failed: "M4 4l8 8M12 4l-8 8",
  cancelled: `${CIRCLE}M4 4l8 8`,
  waiting: "M3.5 8h.1M8 8h.1M12.5 8h.1",
  expired: "M4 2.5h8L4 13.5h8z",
  connecting: "M2 8h4M10 8h4M8 8h.1",
  reconnecting: "M13 8a5 5 0 1 1-2-4M11.5 1v3.2H8.3",
  unreachable: "M2 8h3.5M10.5 8H14M6 5l4 6",
  unauthorized: "M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5",
  forbidden: `${CIRCLE}M5 8h6`,
  refused: "M5.5 2h5L14 5.5v5L10.5 14h-5L2 10.5v-5zM8 5v3.5M8 11v.1",
  store_down: "M3 4.5c0-2.5 10-2.5 10 0s-10 2.5-10 0v7c0 2.5 10 2.5 10 0v-7",
  saved: "M4 2.5h8v11l-4-3-4 3z",
};

/** What a job of unknown size looks like while it works, or should. */
const AT_WORK = /^(processing|quiet|stalled|lost)$/;

const SVG = "http://www.w3.org/2000/svg";

/** Make a sign; `setShape` says which. */
export function makeSign(doc: Document): SVGElement {
  const sign = doc.createElementNS(SVG, "svg");
  sign.setAttribute("viewBox", "0 0 16 16");
  sign.setAttribute("aria-hidden", "true");
  sign.append(doc.createElementNS(SVG, "path"));
  return sign;
}

export function setShape(sign: SVGElement, shape: Shape): void {
  if (sign.getAttribute("data-shape") === shape) return;
  sign.setAttribute("data-shape", shape);
  sign.firstElementChild?.setAttribute("d", PATHS[shape]);
}

/** Draw in a track how far a job is. Answers the style of what has moved. */
export function setTrack(track: HTMLElement, { fraction, shape, moving }: Card): CSSStyleDeclaration | null {
  // A moving or hatched bar would look like work where there is merely nothing to show.
  const unknown = fraction === null && AT_WORK.test(shape);
  attribute(track, "data-unknown", unknown ? (moving ? "moving" : "") : null);
  const { style } = track.firstElementChild as HTMLElement;
  // A scale needs no layout, unlike a width: the browser moves the bar without looking at the page again.
  const scale = `scaleX(${unknown ? 1 : (fraction ?? 0)})`;
  if (style.transform === scale) return null;
  style.transform = scale;
  return style;
}
