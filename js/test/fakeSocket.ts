import { vi } from "vitest";
import { Connection, type Socket, type Surroundings } from "../src/connection";
import { forgetAll } from "../src/frame";
import type { State } from "../src/protocol";

export const NOW_US = 1_767_225_600_000_000;

type Command = Readonly<Record<string, unknown>>;

/** A socket whose server is the test: it records what is sent, and replies what the test says. */
export class FakeSocket implements Socket {
  static readonly all: FakeSocket[] = [];

  static get last(): FakeSocket {
    const socket = FakeSocket.all.at(-1);
    if (socket === undefined) throw new Error("No socket was opened.");
    return socket;
  }

  onopen: (() => void) | null = null;
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onclose: ((event: { readonly code: number }) => void) | null = null;
  readonly sent: Command[] = [];
  closedBy: number | null = null;
  /** Job ids that the server has a state of. */
  states: Record<string, State> = {};

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  send(data: string): void {
    const command: Command = JSON.parse(data);
    this.sent.push(command);
    if (command.type === "subscribe" && Array.isArray(command.job_ids)) this.#subscribed(command.job_ids);
  }

  /** As a browser: the event comes later, if at all. */
  close(code?: number): void {
    this.closedBy = code ?? 1000;
  }

  /** The handshake succeeds and the server greets. */
  accept(states: Record<string, State> = {}): void {
    this.states = states;
    this.onopen?.();
    this.say({ type: "connected", now_us: NOW_US });
  }

  say(message: object): void {
    this.hear(JSON.stringify(message));
  }

  hear(data: unknown): void {
    this.onmessage?.({ data });
  }

  end(code: number): void {
    this.onclose?.({ code });
  }

  commands(type: string): Command[] {
    return this.sent.filter((command) => command.type === type);
  }

  #subscribed(jobIds: string[]): void {
    this.say({ type: "subscribed", job_ids: jobIds, missing: jobIds.filter((id) => !(id in this.states)) });
    for (const jobId of jobIds) if (jobId in this.states) this.say(this.states[jobId] ?? {});
  }
}

/** Timers and clocks under the test's hand, and sockets to this file's server. Call it before each test. */
export function fakeWorld(): void {
  vi.useFakeTimers();
  FakeSocket.all.length = 0;
  vi.stubGlobal("WebSocket", FakeSocket);
  vi.stubGlobal("fetch", async () => Response.json({ status: "ok" }));
}

export function leaveWorld(): void {
  forgetAll();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  Reflect.deleteProperty(globalThis, Symbol.for("jupyter_jobprogress"));
  document.head.replaceChildren();
  document.body.replaceChildren();
}

export function surroundings(random = 1): Surroundings {
  return {
    open: (url) => new FakeSocket(url),
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
    random: () => random,
    nowMs: () => performance.now(),
  };
}

export function connect(random = 1): Connection {
  return new Connection("ws://server/jobprogress/ws/jobs", surroundings(random));
}

export function jupyterPage(baseUrl = "/user/ann/"): void {
  const config = document.createElement("script");
  config.id = "jupyter-config-data";
  config.type = "application/json";
  config.textContent = JSON.stringify({ baseUrl, token: "secret" });
  document.head.append(config);
}

export function running(fields: Partial<State> = {}): State {
  return { job_id: "job-1", status: "processing", progress: 0.42, seq: NOW_US, run: NOW_US, ...fields };
}

export function completed(fields: Partial<State> = {}): State {
  return running({ status: "completed", progress: 1, seq: NOW_US + 1_000_000, ...fields });
}
