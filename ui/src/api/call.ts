import { language } from "../i18n/language";
import { ApiError, type ErrorBody, JOB_LOST, NETWORK_ERROR, SESSION_EXPIRED } from "./error";
import type { OperationSpec } from "./operation";
import { endSession, sessionStore } from "./session";

/** Where jobs are polled, on the page's own origin. */
const JOBS = "/zstack/v1/api-jobs/";

export interface CallOptions {
  signal?: AbortSignal;
  systemTags?: string[];
  userTags?: string[];
  /** Name of the resource, for the list of tasks. */
  resourceName?: string;
}

/** One step of a plan: what would be done, and why so. */
export interface PlanStep {
  step: string;
  text?: string;
  why?: string;
}

/** Something that a plan would create or delete. */
export type PlanItem = string | { type?: string; uuid?: string; name?: string; text?: string };

/** Something that a plan would change. */
export interface PlanChange {
  type?: string;
  uuid?: string;
  name?: string;
  fields?: { field: string; from?: unknown; to?: unknown }[];
}

/** What an operation would do. */
export interface Plan {
  summary?: string;
  steps?: PlanStep[];
  creates?: PlanItem[];
  deletes?: PlanItem[];
  changes?: PlanChange[];
}

/** Tells about the jobs that the page starts. */
export interface JobObserver {
  started(job: { jobUuid: string; operation: string; params: Record<string, unknown>; name?: string }): void;
  succeeded(jobUuid: string): void;
  failed(jobUuid: string, error: ApiError): void;
}

let observer: JobObserver | undefined;
export function observeJobs(next: JobObserver | undefined): void {
  observer = next;
}

export function authorization(): Record<string, string> {
  const session = sessionStore.get().session;
  return session ? { Authorization: `OAuth ${session.uuid}` } : {};
}

/** Address and body of a call. */
export function buildRequest(
  spec: OperationSpec,
  params: Record<string, unknown>,
  options: CallOptions = {},
): { url: string; body?: string } {
  const rest = new Map(Object.entries(params).filter(([, value]) => value !== undefined && value !== null));
  const url = spec.path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = rest.get(name);
    rest.delete(name);
    return encodeURIComponent(String(value ?? ""));
  });
  if (spec.method === "GET" || spec.method === "DELETE") {
    const query = queryString(rest);
    return { url: query ? `${url}?${query}` : url };
  }
  const inner = Object.fromEntries(rest);
  const body: Record<string, unknown> = spec.bodyKey ? { [spec.bodyKey]: inner } : inner;
  if (options.systemTags?.length) body.systemTags = options.systemTags;
  if (options.userTags?.length) body.userTags = options.userTags;
  return { url, body: JSON.stringify(body) };
}

/** Lists repeat the name, maps put the key behind a dot. */
function queryString(params: Map<string, unknown>): string {
  const search = new URLSearchParams();
  for (const [name, value] of params) {
    if (Array.isArray(value)) for (const one of value) search.append(name, String(one));
    else if (typeof value === "object")
      for (const [key, one] of Object.entries(value as object)) search.append(`${name}.${key}`, String(one));
    else search.append(name, String(value));
  }
  return search.toString();
}

async function send(
  spec: OperationSpec,
  params: Record<string, unknown>,
  options: CallOptions,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: unknown }> {
  const { url, body } = buildRequest(spec, params, options);
  const response = await request(url, {
    method: spec.method,
    headers: {
      Accept: "application/json",
      "Accept-Language": language(),
      "X-Cairn-Time": "rfc3339",
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...(spec.open ? {} : authorization()),
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
    ...(options.signal ? { signal: options.signal } : {}),
  });
  return readAnswer(response);
}

/** Sends a request; a broken connection becomes an `ApiError` like any other failure. */
async function request(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (thrown) {
    if (init.signal?.aborted) throw thrown;
    const details = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ApiError({ code: NETWORK_ERROR, details }, 0);
  }
}

async function readAnswer(response: Response): Promise<{ status: number; body: unknown }> {
  const text = await response.text();
  let body: unknown;
  try {
    body = text ? JSON.parse(text) : {};
  } catch {
    body = undefined;
  }
  if (response.ok && body !== undefined) return { status: response.status, body };
  const error = (body as { error?: ErrorBody } | undefined)?.error;
  const failure = new ApiError(
    error ?? { code: `HTTP.${response.status}`, details: text.trim() },
    response.status,
  );
  if (failure.code === SESSION_EXPIRED && sessionStore.get().session) endSession(true);
  throw failure;
}

/** Runs an operation to its end: a job is polled until it is done. */
export async function callOperation(
  spec: OperationSpec,
  params: Record<string, unknown>,
  options: CallOptions = {},
): Promise<unknown> {
  const { status, body } = await send(spec, params, options);
  const location = (body as { location?: unknown }).location;
  if (status !== 202 || typeof location !== "string") return body;
  const jobUuid = jobOf(location);
  observer?.started({
    jobUuid,
    operation: spec.name,
    params,
    ...(options.resourceName ? { name: options.resourceName } : {}),
  });
  try {
    const result = await waitForJob(jobUuid, options.signal);
    observer?.succeeded(jobUuid);
    return result;
  } catch (thrown) {
    if (thrown instanceof ApiError) observer?.failed(jobUuid, thrown);
    throw thrown;
  }
}

/** Asks what an operation would do. */
export async function planOperation(
  spec: OperationSpec,
  params: Record<string, unknown>,
  options: CallOptions = {},
): Promise<Plan> {
  const { body } = await send(spec, params, options, { "X-Cairn-Plan": "true" });
  return (body as { plan?: Plan }).plan ?? {};
}

/** The job id of an answer's location. The page polls on its own origin, whatever host the location names. */
export function jobOf(location: string): string {
  return /\/api-jobs\/([0-9a-zA-Z-]+)/.exec(location)?.[1] ?? location;
}

const FIRST_POLL_MS = 150;
const SLOWEST_POLL_MS = 2000;
/** How long a server may be away while its jobs are polled: jobs survive a restart. */
const PATIENCE_MS = 5 * 60_000;

async function waitForJob(jobUuid: string, signal?: AbortSignal): Promise<unknown> {
  let pause = FIRST_POLL_MS;
  let awaySince: number | undefined;
  for (;;) {
    await sleep(pause, signal);
    pause = Math.min(pause * 1.5, SLOWEST_POLL_MS);
    try {
      const { status, body } = await pollOnce(jobUuid, signal);
      awaySince = undefined;
      if (status !== 202) return body;
    } catch (thrown) {
      if (!(thrown instanceof ApiError) || !isAway(thrown)) throw thrown;
      awaySince ??= Date.now();
      if (Date.now() - awaySince > PATIENCE_MS) throw thrown;
    }
  }
}

async function pollOnce(jobUuid: string, signal?: AbortSignal): Promise<{ status: number; body: unknown }> {
  const response = await request(JOBS + jobUuid, {
    headers: { Accept: "application/json", "Accept-Language": language(), "X-Cairn-Time": "rfc3339" },
    ...(signal ? { signal } : {}),
  });
  if (response.status === 202) return { status: 202, body: undefined };
  if (response.status === 404) throw new ApiError({ code: JOB_LOST, details: await response.text() }, 404);
  return readAnswer(response);
}

/** The server cannot be reached, which says nothing about the job. */
const isAway = (error: ApiError) => error.status === 0 || error.status === 502 || error.status === 504;

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
