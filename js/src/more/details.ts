import { attribute, make, put, styleRoot } from "../dom";
import { formatDuration, formatMetric, formatPercent } from "../format";
import type { Job } from "../job";
import type { Panel } from "../lazy";
import { isObject, type State } from "../protocol";
import { Actions } from "./actions";
import { type History, readHistory, readOrigin, readStages, type Series, type Stage } from "./extras";
import { HINTS, transport } from "./hints";
import { cell, List, Section } from "./list";
import css from "./more.css?inline";
import { Parts } from "./parts";
import { areaPath, makeSpark, sparkPath } from "./spark";
import { type Pair, pairList, textBox, Value } from "./value";

/** What is a sentence, and has a row of its own. */
const WIDE: ReadonlySet<string> = new Set(["So far", "In all", "Transport"]);

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
  readonly #result: Value;
  readonly #metadata: Value;
  readonly #about: Section;
  readonly #metricList: List<Metric>;
  readonly #stageList: List<Stage>;
  readonly #facts: List<Pair>;
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
    this.#result = new Value(doc, this.el, "Result");
    this.#metadata = new Value(doc, this.el, "Metadata");
    this.#about = new Section(doc, this.el, "About");
    textBox(doc, this.#error.body, "Traceback");
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
    this.#facts = pairList(doc, this.#about.body);
  }

  draw(): void {
    styleRoot(this.el, css, "more");
    const { state } = this.job;
    put(this.#hint, HINTS[this.job.card().shape] ?? "");
    const { error, metadata } = splitError(state);
    this.#error.show(error !== "");
    put(cell(this.#error.body, 0), error);
    this.#result.draw(state?.more?.result);
    this.#metadata.draw(metadata);
    this.#drawMetrics(state);
    const stages = state === null ? [] : readStages(state);
    this.#stages.show(stages.length > 0);
    this.#stageList.draw(stages);
    this.#parts.draw();
    this.#about.show(true);
    this.#facts.draw(this.#known(state));
    for (const row of this.#facts.el.children)
      attribute(row, "data-wide", WIDE.has(row.firstElementChild?.textContent ?? "") ? "true" : null);
    this.#actions.draw();
  }

  dispose(): void {
    this.#actions.dispose();
    this.el.remove();
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
    if (sparkPath(this.#read?.t_s ?? [], progress) !== "")
      metrics.push(["progress", this.job.card().percent, progress]);
    this.#metrics.show(metrics.length > 0);
    this.#metricList.draw(metrics);
  }

  #metricRow(): HTMLElement {
    const row = make(this.doc, "metric");
    make(this.doc, "name", row).dir = "auto";
    make(this.doc, "value", row);
    row.append(makeSpark(this.doc));
    make(this.doc, "range", row);
    return row;
  }

  #changeMetric(row: HTMLElement, [name, value, values]: Metric): void {
    put(cell(row, 0), name);
    cell(row, 0).title = name;
    const known = values.filter((each) => each !== null);
    const now = this.job.state?.metrics?.[name];
    const all = now == null ? known : [...known, now];
    const path = sparkPath(this.#read?.t_s ?? [], values);
    put(cell(row, 1), value);
    const spark = cell(row, 2);
    attribute(spark, "hidden", path === "" ? "" : null);
    attribute(cell(spark, 0), "d", path);
    attribute(cell(spark, 1), "d", areaPath(path));
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
    // An empty track would say that nothing of it is done, where nobody said how much.
    cell(row, 1).hidden = progress === null && share === null;
    (cell(row, 1).firstElementChild as HTMLElement).style.transform = `scaleX(${progress ?? 0})`;
    const said = [
      progress === null ? "" : formatPercent(progress),
      elapsed_s === null ? "" : formatDuration(elapsed_s),
      share === null ? "" : `${formatPercent(share)} of all`,
    ];
    put(cell(row, 2), said.filter(Boolean).join(" · "));
  }

  #known(state: State | null): Pair[] {
    const origin = state === null ? null : readOrigin(state);
    const time = (text: string | undefined) => {
      const date = new Date(text ?? "");
      return Number.isNaN(date.getTime())
        ? ""
        : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    };
    const parent = state?.more?.parent_id;
    const known: Pair[] = [
      ["Job", this.job.jobId],
      ["Part of", typeof parent === "string" ? parent : ""],
      ["Started", time(state?.started_at)],
      [this.job.ended ? "Ended" : "Last news", time(state?.timestamp)],
      ["Host", origin?.host ?? ""],
      ["Process", origin?.pid == null ? "" : String(origin.pid)],
      ["User", origin?.user ?? ""],
      [this.job.ended ? "In all" : "So far", this.job.card().facts.join(" · ")],
      ["Transport", transport(this.job)],
    ];
    return known.filter(([, value]) => value !== "");
  }
}

/** The error with the traceback that reporters leave in the metadata, to be read line by line, and what else is there. */
function splitError(state: State | null): { readonly error: string; readonly metadata: unknown } {
  const error = state?.error ?? "";
  const metadata = state?.more?.metadata;
  if (!error || !isObject(metadata) || typeof metadata.traceback !== "string") return { error, metadata };
  const { traceback, ...others } = metadata;
  return { error: traceback.includes(error) ? traceback : `${error}\n\n${traceback}`, metadata: others };
}
