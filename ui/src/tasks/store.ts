import { observeJobs } from "../api/call";
import { type ErrorBody, errorBody } from "../api/error";
import { createStore } from "../lib/store";

/** One job that this page started, from the first answer to its end. */
export interface Task {
  jobUuid: string;
  operation: string;
  /** Name of what it works on. */
  name?: string;
  resourceUuid?: string;
  state: "running" | "done" | "failed";
  startedAt: number;
  endedAt?: number;
  error?: ErrorBody;
}

const KEPT = 50;

/** The jobs of this page, newest first. */
export const tasks = createStore<readonly Task[]>([]);

export const clearFinished = () => tasks.update((list) => list.filter((task) => task.state === "running"));

function end(jobUuid: string, change: Partial<Task>): void {
  tasks.update((list) =>
    list.map((task) => (task.jobUuid === jobUuid ? { ...task, ...change, endedAt: Date.now() } : task)),
  );
}

const text = (value: unknown) => (typeof value === "string" ? value : undefined);

/** Keeps the list of tasks from now on. */
export function collectTasks(): void {
  observeJobs({
    started({ jobUuid, operation, params, name }) {
      const shown = name ?? text(params.name);
      const resourceUuid = text(params.uuid) ?? text(params.vmInstanceUuid);
      const task: Task = { jobUuid, operation, state: "running", startedAt: Date.now() };
      if (shown) task.name = shown;
      if (resourceUuid) task.resourceUuid = resourceUuid;
      tasks.update((list) => [task, ...list].slice(0, KEPT));
    },
    succeeded: (jobUuid) => end(jobUuid, { state: "done" }),
    failed: (jobUuid, error) => end(jobUuid, { state: "failed", error: errorBody(error) }),
  });
}
