import type { Plan } from "../../api/call";
import type { ErrorBody } from "../../api/error";
import type { ChangeEvent } from "../../api/events";
import { allOperations } from "../../api/generated";
import type { OperationSpec } from "../../api/operation";
import { RUN_EVENT, type Run } from "../../api/runs";
import { at, type MockData, newUuid, sampleData } from "./data";
import type { CallContext, Handlers, Planners } from "./handlers";
import { readHandlers } from "./read-handlers";
import { vmHandlers, vmPlanners } from "./vm-handlers";

/** A failure that the API would report. */
export class Refusal extends Error {
  constructor(readonly body: ErrorBody) {
    super(body.details ?? body.description);
  }
}

export interface MockRequest {
  method: string;
  /** Path without the query string. */
  path: string;
  query: URLSearchParams;
  header(name: string): string | undefined;
  body: string;
}

export interface MockAnswer {
  status: number;
  body: unknown;
}

type AnyHandler = (params: object, context: CallContext) => unknown;

const OK = 200;
const ACCEPTED = 202;
const FAILED = 503;

/** A cloud in memory behind the API's conventions: for unit tests, and for a browser without a server. */
export class MockCloud {
  readonly data: MockData = sampleData();
  readonly handlers: Handlers;
  readonly planners: Planners;
  /** Every call with its parameters, oldest first. */
  readonly calls: { operation: string; params: object; context: CallContext; plan: boolean }[] = [];
  readonly sessions = new Set<string>();
  private readonly jobs = new Map<string, MockAnswer>();
  private readonly listeners = new Set<(event: ChangeEvent) => void>();
  private readonly refusals = new Map<string, ErrorBody>();
  private cursor = 100;

  /** `stepMs`: how long one step of a workflow takes. */
  constructor(readonly stepMs = 5) {
    this.handlers = { ...readHandlers(this), ...vmHandlers(this) };
    this.planners = vmPlanners(this);
  }

  /** Makes the next calls of an operation fail, until `refuse` is called without an error. */
  refuse(operation: string, error?: ErrorBody): void {
    if (error) this.refusals.set(operation, error);
    else this.refusals.delete(operation);
  }

  /** Calls back for every change. */
  listen(listener: (event: ChangeEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  emit(type: string, uuid: string, kind: ChangeEvent["kind"], data: Record<string, unknown> = {}): void {
    this.cursor += 1;
    const event: ChangeEvent = { cursor: this.cursor, time: Date.now(), type, uuid, kind, data };
    for (const listener of [...this.listeners]) listener(event);
  }

  /** Changes a VM and tells about it. */
  changeVm(uuid: string, change: Record<string, unknown>): void {
    const vm = this.data.vms.get(uuid);
    if (!vm) return;
    Object.assign(vm, change, { lastOpDate: at(0) });
    this.emit("VmInstanceVO", uuid, "updated", change);
  }

  /** Plays a workflow: its steps one after another, visible as a run. */
  async run(name: string, resourceUuid: string, steps: string[], jobUuid?: string): Promise<void> {
    const run: Run = {
      uuid: newUuid(),
      name,
      resourceUuid,
      state: "Running",
      step: steps[0],
      steps,
      progress: 0,
      createDate: at(0),
      ...(jobUuid ? { jobUuid } : {}),
    };
    this.data.runs.unshift(run);
    this.emit(RUN_EVENT, run.uuid, "created", { resourceUuid });
    for (const [index, step] of steps.entries()) {
      run.step = step;
      run.progress = Math.round((index / steps.length) * 100);
      this.emit(RUN_EVENT, run.uuid, "progress", { resourceUuid, step, progress: run.progress });
      await new Promise((resolve) => setTimeout(resolve, this.stepMs));
    }
    run.state = "Done";
    run.progress = 100;
    this.emit(RUN_EVENT, run.uuid, "updated", { resourceUuid, state: run.state, progress: 100 });
  }

  /** Answers one request of the API. */
  async handle(request: MockRequest): Promise<MockAnswer> {
    const path = request.path.replace(/^\/v1/, "/zstack/v1");
    const job = /^\/zstack\/v1\/api-jobs\/(\w+)$/.exec(path)?.[1];
    if (job) return this.jobs.get(job) ?? { status: 404, body: "no such job" };
    const found = this.route(request, path);
    if (!found) return { status: 404, body: "no such address" };
    const { spec, params, context } = found;
    if (!spec.open && !this.knows(request.header("authorization")))
      return refused({
        code: "ID.1001",
        description: "The session is not valid",
        details: "The session has expired; log in again",
      });
    const plan = request.header("x-cairn-plan") === "true";
    this.calls.push({ operation: spec.name, params, context, plan });
    const refusal = this.refusals.get(spec.name);
    if (plan && refusal) return refused(refusal);
    if (plan) return { status: OK, body: { plan: this.plan(spec.name, params, context) } };
    if (!spec.job) return this.answer(spec.name, params, context);
    return {
      status: ACCEPTED,
      body: {
        location: `http://elsewhere:8080/zstack/v1/api-jobs/${this.start(spec.name, params, context)}`,
      },
    };
  }

  private knows(authorization: string | undefined): boolean {
    return this.sessions.has(authorization?.replace(/^OAuth /, "") ?? "");
  }

  private start(name: string, params: object, context: CallContext): string {
    const uuid = newUuid();
    this.jobs.set(uuid, { status: ACCEPTED, body: {} });
    void this.answer(name, params, { ...context, jobUuid: uuid }).then((answer) =>
      this.jobs.set(uuid, answer),
    );
    return uuid;
  }

  private async answer(name: string, params: object, context: CallContext): Promise<MockAnswer> {
    try {
      const refusal = this.refusals.get(name);
      if (refusal) throw new Refusal(refusal);
      const handler = this.handlers[name as keyof Handlers] as AnyHandler | undefined;
      if (!handler) throw new Refusal({ code: "SYS.1006", details: `the mock has no handler for ${name}` });
      return { status: OK, body: await handler(params, context) };
    } catch (thrown) {
      if (thrown instanceof Refusal) return refused(thrown.body);
      return { status: 500, body: String(thrown) };
    }
  }

  private plan(name: string, params: object, context: CallContext): Plan {
    const planner = this.planners[name as keyof Planners] as
      | ((params: object, context: CallContext) => Plan)
      | undefined;
    return planner ? planner(params, context) : { summary: name, steps: [] };
  }

  private route(request: MockRequest, path: string) {
    const body = request.body ? (JSON.parse(request.body) as Record<string, unknown>) : {};
    for (const spec of ROUTES) {
      if (spec.method !== request.method) continue;
      const matched = matchPath(spec.path, path);
      if (!matched) continue;
      if (spec.method === "PUT" && spec.bodyKey && !(spec.bodyKey in body)) continue;
      const inner = spec.bodyKey ? body[spec.bodyKey] : {};
      const params = { ...fromQuery(request.query), ...(inner as object), ...matched };
      const tags = (name: string) => (body[name] as string[] | undefined) ?? [];
      return { spec, params, context: { systemTags: tags("systemTags"), userTags: tags("userTags") } };
    }
    return undefined;
  }
}

const parametersIn = (path: string) => path.split("{").length;

/** Literal parts of an address win over parameters, so those with fewer of these come first. */
const ROUTES = (allOperations as readonly { spec: OperationSpec }[])
  .map(({ spec }) => spec)
  .sort((a, b) => parametersIn(a.path) - parametersIn(b.path));

const refused = (error: ErrorBody): MockAnswer => ({ status: FAILED, body: { error } });

function matchPath(pattern: string, path: string): Record<string, string> | undefined {
  const names = [...pattern.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "");
  const expression = new RegExp(`^${pattern.replace(/\{\w+\}/g, "([^/]+)")}$`);
  const found = expression.exec(path);
  return found
    ? Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(found[index + 1] ?? "")]))
    : undefined;
}

const LISTS = new Set(["q", "uuids"]);

function fromQuery(query: URLSearchParams): Record<string, unknown> {
  const params: Record<string, unknown> = {};
  for (const name of new Set(query.keys()))
    params[name] = LISTS.has(name) ? query.getAll(name) : query.get(name);
  return params;
}
