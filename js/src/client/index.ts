/** A client of a server of jobs, for pages and for Node. Its page is docs/javascript.md. */

export type { Status as ConnectionStatus } from "../connection";
export type { Card, Shape, Tone } from "../describe";
export type { Status } from "../protocol";
export {
  Client,
  type ConnectOptions,
  connect,
  type FollowOptions,
  type JobPage,
  type ListOptions,
  type WatchOptions,
} from "./client";
export { JobProgressError } from "./errors";
export type { JobState } from "./state";
export type { JobSnapshot, JobView } from "./view";
