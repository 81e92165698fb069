/** Jobs for the gallery: one for each way a line can look, drawn by the real view at a fixed time. */

import type { Around } from "../src/describe";
import { readWhole, type State } from "../src/protocol";

/** 1 January 2026, noon UTC: what is drawn does not depend on the day. */
export const NOW_US = 1_767_268_800_000_000;

export interface Shown {
  readonly name: string;
  readonly state: State | null;
  readonly around: Around;
}

const iso = (after_s: number) => new Date(NOW_US / 1000 + after_s * 1000).toISOString();

const RUNNING = {
  job_id: "train-7",
  status: "processing",
  title: "Train ResNet-50",
  stage: "epoch 12 of 30",
  message: "loss is falling",
  progress: 0.42,
  n: 5264,
  total: 12534,
  unit: "batches",
  rate_per_s: 18.4,
  eta_s: 395,
  heartbeat_s: 10,
  timestamp: iso(0),
  started_at: iso(-286),
  seq: NOW_US,
  run: NOW_US - 286e6,
  metrics: { loss: 0.2134, accuracy: 0.9127 },
  origin: { host: "gpu-3", pid: 4711, user: "ada" },
};

const TRACEBACK = `Traceback (most recent call last):
  File "train.py", line 88, in step
    logits = model(batch)
RuntimeError: CUDA out of memory. Tried to allocate 2.40 GiB`;

function shown(name: string, fields: object | null, around: Partial<Around> = {}): Shown {
  const state = fields === null ? null : readWhole({ ...RUNNING, ...fields });
  return { name, state, around: { link: "live", nowUs: NOW_US, locale: "en", ...around } };
}

const late = (seconds: number) => ({ seq: NOW_US - seconds * 1e6, timestamp: iso(-seconds) });
const ended = { stage: "", message: "", started_at: iso(-5040), run: NOW_US - 5040e6 };

export const STATES: readonly Shown[] = [
  shown("queued", {
    status: "queued",
    stage: "",
    message: "3 jobs before this one",
    progress: 0,
    n: undefined,
    rate_per_s: undefined,
    eta_s: undefined,
  }),
  shown("running", {}),
  shown("unknown total", {
    title: "Crawl",
    stage: "following links",
    progress: null,
    n: 18203,
    total: undefined,
    unit: "pages",
    eta_s: undefined,
    message: "",
  }),
  shown("no progress", { timestamp: iso(-135), message: "waiting for a lock" }),
  shown("stalled", late(47)),
  shown("lost", late(734)),
  shown(
    "parts",
    {
      job_id: "sweep",
      title: "Sweep",
      stage: "",
      message: "",
      progress: null,
      n: undefined,
      total: undefined,
      rate_per_s: undefined,
      eta_s: undefined,
    },
    { parts: { count: 24, completed: 9, failed: 1, fraction: 0.51 } },
  ),
  shown("cancel requested", { message: "" }, { cancelRequested: true }),
  shown("connecting", {}, { link: "connecting" }),
  shown("reconnecting", {}, { link: "reconnecting", reason: "the server restarts" }),
  shown("completed", {
    ...ended,
    status: "completed",
    progress: 1,
    n: 12534,
    message: "93.1 % of unseen images read right",
    result: { accuracy: 0.931 },
  }),
  shown("failed", { ...ended, status: "failed", error: TRACEBACK }),
  shown("cancelled", { ...ended, status: "cancelled", message: "by ada" }),
  shown("expired", {}, { link: "waiting" }),
  shown("unknown job", null, { link: "waiting" }),
  shown("saved", {}, { link: "saved" }),
  shown("not connected", {}, { link: "unreachable" }),
  shown("not signed in", {}, { link: "unauthorized" }),
  shown("not allowed", null, { link: "forbidden" }),
  shown("refused", null, { link: "refused", reason: "at most 1,024 jobs on one socket" }),
  shown("store unavailable", {}, { link: "store_down" }),
];

const wave = (from: number, to: number) =>
  Array.from(
    { length: 64 },
    (_, index) => from + (to - from) * (1 - Math.exp(-index / 18)) + Math.sin(index * 1.7) * 0.012,
  );

/** A job with everything that its details can show. */
export const FULL = readWhole({
  ...RUNNING,
  metadata: { dataset: "imagenet-100", seed: 7, tags: ["baseline", "fp16"] },
  parent_id: "sweep",
  metrics: { loss: 0.2134, accuracy: 0.9127, "learning rate": 0.00025 },
  stages: [
    { name: "prepare", share: 0.05, progress: 1, elapsed_s: 31 },
    { name: "epoch 12 of 30", share: 0.85, progress: 0.42, elapsed_s: 255 },
  ],
  history: {
    t_s: Array.from({ length: 64 }, (_, index) => index * 4.5),
    progress: Array.from({ length: 64 }, (_, index) => (index / 63) * 0.42),
    metrics: {
      loss: wave(1.9, 0.2134),
      accuracy: wave(0.1, 0.9127),
      "learning rate": Array.from({ length: 64 }, (_, index) => 0.001 * 0.978 ** index),
    },
  },
});

export const FAILED = readWhole({
  ...RUNNING,
  ...ended,
  status: "failed",
  job_id: "train-8",
  title: "Train ViT-B",
  error: TRACEBACK,
});

/** Parts of one job, each somewhere else. */
export const PARTS: readonly State[] = Array.from({ length: 14 }, (_, index) =>
  readWhole({
    ...RUNNING,
    job_id: `fold-${index + 1}`,
    title: `fold ${index + 1}`,
    status: index === 4 ? "failed" : index > 9 ? "completed" : "processing",
    progress: index > 9 ? 1 : ((index * 7) % 10) / 10,
    error: index === 4 ? "ValueError: fold 5 has one class" : undefined,
    eta_s: 60 + index * 13,
    parent_id: "sweep",
  }),
).flatMap((state) => state ?? []);

/** Many jobs, as a table has them. */
export function many(count: number): State[] {
  const statuses = ["processing", "processing", "queued", "completed", "failed", "cancelled"];
  return Array.from({ length: count }, (_, index) =>
    readWhole({
      ...RUNNING,
      job_id: `job-${index}`,
      title: `${["Train", "Evaluate", "Export", "Index"][index % 4]} ${index}`,
      status: statuses[index % statuses.length],
      progress: (index % 97) / 97,
      seq: NOW_US - index * 1000,
      run: NOW_US - 1e6 * (60 + index * 3),
      eta_s: 30 + index,
      origin: { host: `gpu-${index % 8}` },
    }),
  ).flatMap((state) => state ?? []);
}
