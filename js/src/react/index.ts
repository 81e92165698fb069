/** React 18 and 19. */

import {
  createContext,
  createElement,
  type ReactNode,
  useCallback,
  useContext,
  useMemo,
  useSyncExternalStore,
} from "react";
import { type Client, type ConnectOptions, connect } from "../client/client";
import type { JobSnapshot } from "../client/view";
import { describe } from "../describe";

const Shared = createContext<Client | null>(null);

export interface JobProgressProviderProps extends ConnectOptions {
  /** Where the server's page is. */
  readonly url?: string;
  readonly children?: ReactNode;
}

/** Says to which server the hooks below it belong. */
export function JobProgressProvider({ url, token, WebSocket, children }: JobProgressProviderProps) {
  const client = useClient(null, url, token, WebSocket);
  return createElement(Shared.Provider, { value: client }, children);
}

export interface UseJobProgressOptions extends ConnectOptions {
  /** A client to use in place of that of the provider. */
  readonly client?: Client;
  /** Where the server's page is; without it, the provider's server, or else that of this page. */
  readonly url?: string;
  /** Least time between two states, 50 by default. */
  readonly interval_ms?: number;
}

export interface UseJobProgress extends Omit<JobSnapshot, "jobId"> {
  readonly jobId: string | null;
  /** Ask the job to stop. Rejects with JobProgressError where that is refused. */
  readonly cancel: () => Promise<void>;
}

/**
 * Follow a job: its newest state, whether states arrive, and why not.
 *
 * `jobId` may be null or undefined while there is no job yet. All hooks of a page share one socket. With options
 * that name a server the provider's is left alone.
 */
export function useJobProgress(jobId: string | null | undefined, options: UseJobProgressOptions = {}): UseJobProgress {
  const { url, token, WebSocket, interval_ms } = options;
  const provided = useContext(Shared);
  const named = url !== undefined || token !== undefined;
  const client = useClient(options.client ?? (named ? null : provided), url, token, WebSocket);
  const watched = useMemo(() => watch(client, jobId, interval_ms), [client, jobId, interval_ms]);
  const snapshot = useSyncExternalStore(watched.subscribe, watched.snapshot, watched.snapshot);
  const cancel = useCallback(async () => {
    if (jobId != null) await client.cancel(jobId);
  }, [client, jobId]);
  return useMemo(() => ({ ...snapshot, jobId: jobId ?? null, cancel }), [snapshot, jobId, cancel]);
}

function useClient(given: Client | null, url?: string, token?: string, WebSocket?: ConnectOptions["WebSocket"]) {
  return useMemo(() => {
    if (given !== null) return given;
    // On a server that renders pages there is no page, and nothing is watched.
    if (url === undefined && typeof location === "undefined") return connect("http://localhost/");
    return connect(url, { ...(token === undefined ? {} : { token }), ...(WebSocket ? { WebSocket } : {}) });
  }, [given, url, token, WebSocket]);
}

interface Watched {
  readonly subscribe: (listener: () => void) => () => void;
  readonly snapshot: () => JobSnapshot;
}

function watch(client: Client, jobId: string | null | undefined, interval_ms: number | undefined): Watched {
  if (jobId == null) return still("", null);
  try {
    return client.view(jobId, interval_ms === undefined ? {} : { interval_ms });
  } catch (error) {
    return still(jobId, error instanceof Error ? error.message : String(error));
  }
}

/** What never changes: there is no job, or none that could be. */
function still(jobId: string, error: string | null): Watched {
  const card = describe(jobId, null, { link: error === null ? "waiting" : "refused", nowUs: null });
  const snapshot: JobSnapshot = { jobId, progress: null, isConnected: false, error, card };
  return { subscribe: () => () => {}, snapshot: () => snapshot };
}
