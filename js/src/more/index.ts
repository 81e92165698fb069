/** What a page needs only when somebody wants to see more than the line of a job, or where a job has parts. */

import type { More } from "../lazy";
import { Details } from "./details";
import { PartJobs } from "./family";
import { Table } from "./table";
import { tell } from "./tell";

export const bundle: More = {
  details: (doc, job) => new Details(doc, job),
  table: (doc, source, filter, open) => new Table(doc, source, filter, open),
  family: (source, changed) => new PartJobs(source, changed),
  tell,
};
