import type { Card, Parts } from "./describe";
import type { Job, Source } from "./job";
import type { Filter, State } from "./protocol";
import type { Snapshot } from "./snapshot";

/** Something that a card or a board opens. */
export interface Panel {
  readonly el: HTMLElement;
  draw(): void;
  dispose(): void;
  /** Take a state that the kernel has sent. */
  relay?(state: State): void;
}

/** The jobs that are parts of another. */
export interface Family {
  readonly jobs: ReadonlyMap<string, Job>;
  /** Number of parts that are known by their ids alone. */
  readonly hidden: number;
  add(jobIds: readonly string[]): void;
  sum(): Parts | null;
  start(): void;
  stop(): void;
}

/** What a page needs only when somebody wants to see more than the line of a job. */
export interface More {
  details(doc: Document, job: Job): Panel;
}

/** What a page needs only where a server may be in reach. */
export interface Live {
  /** The page's server, or what was saved. `url` is that of a server which somebody named. */
  findSource(doc: Document, url: string): Source;
  /** The page's server if it serves jobs, else the kernel. `inKernel`: no server knows the jobs. */
  chooseSource(doc: Document, url: string, inKernel: boolean): Promise<Source>;
  snapshot(doc: Document, cards: readonly Card[]): Snapshot;
  /** `open` shows the bar of one job. */
  table(doc: Document, source: Source, filter: Filter, open: (jobId: string, state: State) => void): Panel;
  family(source: Source, changed: () => void): Family;
  /** Tell somebody who asked for it that a job has ended. */
  tell(doc: Document, jobId: string, card: Card): void;
}

export interface Bundles {
  more(): Promise<More>;
  live(): Promise<Live>;
}

let bundles: Bundles | undefined;
const loaded = new Map<keyof Bundles, Promise<More | Live>>();

/** Say where the other bundles are. The entries do. */
export function provide(from: Bundles): void {
  bundles = from;
}

/** Load a bundle once. After a failure the next call tries again. */
function load(name: keyof Bundles): Promise<More | Live> {
  let bundle = loaded.get(name);
  if (bundle === undefined) {
    bundle = bundles?.[name]() ?? Promise.reject(new Error(`Nobody said where the bundle ${name} is.`));
    bundle.catch(() => loaded.delete(name));
    loaded.set(name, bundle);
  }
  return bundle;
}

export const loadMore = (): Promise<More> => load("more") as Promise<More>;
export const loadLive = (): Promise<Live> => load("live") as Promise<Live>;
