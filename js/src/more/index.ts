/** What a page needs only when somebody wants to see more than the line of a job. */

import type { More } from "../lazy";
import { Details } from "./details";

export const bundle: More = {
  details: (doc, job) => new Details(doc, job),
};
