import type { ErrorBody } from "./error";
import { type CairnRunInventory, queryCairnRun } from "./generated";

/** Where a run of a workflow is. */
export type RunState = "Running" | "Undoing" | "Done" | "Failed" | "Stuck";

/** A run of a workflow, with the fields that the API's document leaves open. */
export type Run = Omit<CairnRunInventory, "steps" | "error" | "state"> & {
  state?: RunState;
  steps?: string[];
  error?: ErrorBody;
  allowedActions?: string[];
};

/** What events about runs are called. */
export const RUN_EVENT = "CairnRunVO";

/** Runs, newest first. */
export async function readRuns(q: string[], limit: number, signal: AbortSignal): Promise<Run[]> {
  const answer = await queryCairnRun({ q, limit, sort: "-createDate" }, { signal });
  return (answer.inventories ?? []) as Run[];
}
