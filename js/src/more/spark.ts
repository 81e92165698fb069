import type { Series } from "./extras";

export const WIDTH = 120;
export const HEIGHT = 24;
const EDGE = 1.5;
const SVG = "http://www.w3.org/2000/svg";

/** The line of a series over time as an SVG path, empty for a moment; points at which nothing was known are gaps. */
export function sparkPath(t_s: readonly number[], values: Series): string {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const [first, last] = [t_s[0] ?? 0, t_s.at(-1) ?? 0];
  if (known.length < 2 || last <= first) return "";
  const x = (t: number) => EDGE + ((t - first) / (last - first)) * (WIDTH - 2 * EDGE);
  const y = (value: number) => EDGE + (high > low ? (high - value) / (high - low) : 0.5) * (HEIGHT - 2 * EDGE);
  let path = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (value === null) pen = "M";
    else {
      path += `${pen}${x(t_s[index] ?? 0).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    }
  });
  return path;
}

/** What lies below such a line, where it has no gaps. */
export function areaPath(line: string): string {
  return line === "" || line.lastIndexOf("M") > 0 ? "" : `${line}V${HEIGHT}H${line.slice(1, line.indexOf(" "))}Z`;
}

/** Make a sparkline; what it says is said beside it in numbers, so that it is hidden from screen readers. */
export function makeSpark(doc: Document): SVGElement {
  const svg = doc.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const line = doc.createElementNS(SVG, "path");
  line.setAttribute("vector-effect", "non-scaling-stroke");
  svg.append(line, doc.createElementNS(SVG, "path"));
  return svg;
}
