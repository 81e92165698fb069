import { make, put, styleRoot } from "../dom";
import { formatDuration, formatMetric, formatPercent } from "../format";
import type { Job } from "../job";
import type { Panel } from "../lazy";
import type { State } from "../protocol";
import { Actions } from "./actions";
import { type History, readHistory, readOrigin, readStages, type Series, type Stage } from "./extras";
import { HINTS, transport } from "./hints";
import { cell, List, Section } from "./list";
import css from "./more.css?inline";
import { Parts } from "./parts";
import { makeSpark, sparkPath } from "./spark";

/** Most of a result or of the metadata that is written out. */
const JSON_CHARS = 4096;

type Metric = readonly [name: string, value: string, values: Series];

/** Everything about one job that its line has no room for. */
export class Details implements Panel {
  readonly el: HTMLElement;
  readonly #hint: HTMLElement;
  readonly #actions: Actions;
  readonly #error: Section;
  readonly #metrics: Section;
  readonly #stages: Section;
  readonly #parts: Parts;
  readonly #result: Section;
  readonly #metadata: Section;
  readonly #about: Section;
  readonly #metricList: List<Metric>;
  readonly #stageList: List<Stage>;
  readonly #facts: List<readonly [string, string]>;
  #history: unknown = null;
  #read: History | null = null;

  constructor(
    private readonly doc: Document,
    private readonly job: Job,
  ) {
    this.el = make(doc, "details");
    this.#hint = make(doc, "hint", this.el);
    this.#actions = new Actions(doc, job);
    this.el.append(this.#actions.el);
    this.#error = new Section(doc, this.el, "Error");
    this.#metrics = new Section(doc, this.el, "Metrics");
    this.#stages = new Section(doc, this.el, "Stages");
    this.#parts = new Parts(doc, this.el, job);
    this.#result = new Section(doc, this.el, "Result");
    this.#metadata = new Section(doc, this.el, "Metadata");
    this.#about = new Section(doc, this.el, "About");
    for (const [section, label] of [
      [this.#error, "Traceback"],
      [this.#result, "Result"],
      [this.#metadata, "Metadata"],
    ] as const) {
      const text = make(doc, "text", section.body, "pre");
      // A long one scrolls, and must do so for a keyboard, too.
      text.tabIndex = 0;
      text.setAttribute("role", "region");
      text.setAttribute("aria-label", label);
    }
    this.#metricList = new List(
      make(doc, "metrics", this.#metrics.body),
      () => this.#metricRow(),
      (row, metric) => this.#changeMetric(row, metric),
    );
    this.#stageList = new List(
      make(doc, "stages", this.#stages.body),
      () => this.#stageRow(),
      (row, stage) => this.#changeStage(row, stage),
    );
    this.#facts = new List(
      make(doc, "about", this.#about.body),
      () => {
        const row = make(doc, "pair");
        make(doc, "name", row, "span");
        make(doc, "value", row, "span").dir = "auto";
        return row;
      },
      (row, [name, value]) => {
        put(cell(row, 0), name);
        put(cell(row, 1), value);
      },
    );
  }

  draw(): void {
    styleRoot(this.el, css, "more");
    const { state } = this.job;
    put(this.#hint, HINTS[this.job.card().shape] ?? "");
    this.#text(this.#error, state?.error ?? "");
    this.#text(this.#result, written(state?.more?.result));
    this.#text(this.#metadata, written(state?.more?.metadata));
    this.#drawMetrics(state);
    const stages = state === null ? [] : readStages(state);
    this.#stages.show(stages.length > 0);
    this.#stageList.draw(stages);
    this.#parts.draw();
    this.#about.show(true);
    this.#facts.draw(this.#known(state));
    this.#actions.draw();
  }

  dispose(): void {
    this.#actions.dispose();
    this.el.remove();
  }

  #text(section: Section, text: string): void {
    section.show(text !== "");
    put(cell(section.body, 0), text);
  }

  #drawMetrics(state: State | null): void {
    if (state !== null && state.more?.history !== this.#history) {
      this.#history = state.more?.history;
      this.#read = readHistory(state);
    }
    const series = new Map(this.#read?.series);
    const metrics: Metric[] = Object.entries(state?.metrics ?? {}).map(
      ([name, value]) => [name, formatMetric(value), series.get(name) ?? []] as const,
    );
    for (const [name, values] of series)
      if (name !== "progress" && state?.metrics?.[name] === undefined)
        metrics.push([name, formatMetric(values.at(-1) ?? null), values]);
    const progress = series.get("progress") ?? [];
    if (progress.filter((value) => value !== null).length > 1)
      metrics.push(["progress", formatPercent([...progress].reverse().find((value) => value !== null) ?? 0), progress]);
    this.#metrics.show(metrics.length > 0);
    this.#metricList.draw(metrics);
  }

  #metricRow(): HTMLElement {
    const row = make(this.doc, "metric");
    make(this.doc, "name", row).dir = "auto";
    row.append(makeSpark(this.doc));
    make(this.doc, "value", row);
    make(this.doc, "range", row);
    return row;
  }

  #changeMetric(row: HTMLElement, [name, value, values]: Metric): void {
    put(cell(row, 0), name);
    cell(row, 0).title = name;
    const known = values.filter((each) => each !== null);
    const now = this.job.state?.metrics?.[name];
    const all = now == null ? known : [...known, now];
    const path = known.length > 1 && this.#read !== null ? sparkPath(this.#read.t_s, values) : "";
    const line = cell(row, 1).firstElementChild;
    if (line !== null && line.getAttribute("d") !== path) line.setAttribute("d", path);
    put(cell(row, 2), value);
    const range = known.length > 1 && name !== "progress";
    put(cell(row, 3), range ? `${formatMetric(Math.min(...all))} to ${formatMetric(Math.max(...all))}` : "");
  }

  #stageRow(): HTMLElement {
    const row = make(this.doc, "stagerow");
    make(this.doc, "name", row).dir = "auto";
    make(this.doc, "fill", make(this.doc, "track", row));
    make(this.doc, "value", row);
    return row;
  }

  #changeStage(row: HTMLElement, { name, progress, elapsed_s, share }: Stage): void {
    put(cell(row, 0), name);
    cell(row, 0).title = name;
    (cell(row, 1).firstElementChild as HTMLElement).style.transform = `scaleX(${progress ?? 0})`;
    const said = [
      progress === null ? "" : formatPercent(progress),
      elapsed_s === null ? "" : formatDuration(elapsed_s),
      share === null ? "" : `${formatPercent(share)} of all`,
    ];
    put(cell(row, 2), said.filter(Boolean).join(" · "));
  }

  #known(state: State | null): Array<readonly [string, string]> {
    const origin = state === null ? null : readOrigin(state);
    const time = (text: string | undefined) => {
      const date = new Date(text ?? "");
      return Number.isNaN(date.getTime())
        ? ""
        : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    };
    const parent = state?.more?.parent_id;
    const known: Array<readonly [string, string]> = [
      ["Job", this.job.jobId],
      ["Part of", typeof parent === "string" ? parent : ""],
      ["Started", time(state?.started_at)],
      ["Last news", time(state?.timestamp)],
      ["Host", origin?.host ?? ""],
      ["Process", origin?.pid == null ? "" : String(origin.pid)],
      ["User", origin?.user ?? ""],
      ["Transport", transport(this.job)],
    ];
    return known.filter(([, value]) => value !== "");
  }
}

function written(value: unknown): string {
  if (value === undefined || value === null || (typeof value === "object" && Object.keys(value).length === 0))
    return "";
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return text.length > JSON_CHARS ? `${text.slice(0, JSON_CHARS)}…` : text;
}
