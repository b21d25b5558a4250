import { type CallOptions, callOperation, type Plan, planOperation } from "./call";

/** Where an operation lives on the wire. Comes from the OpenAPI document. */
export interface OperationSpec {
  readonly name: string;
  readonly method: string;
  /** With `{name}` for parameters: `/zstack/v1/vm-instances/{uuid}`. */
  readonly path: string;
  /** Key of the body that holds the parameters; absent for GET and DELETE. */
  readonly bodyKey?: string;
  /** The answer is 202 and the result comes from polling the job. */
  readonly job?: boolean;
  /** Needs no session. */
  readonly open?: boolean;
}

/** Parameters and result of one operation. */
export interface Shape {
  params: object;
  result: unknown;
}

/** A typed call of the API: call it, or ask for its plan. */
export interface Operation<N extends string, S extends Shape> {
  (params: S["params"], options?: CallOptions): Promise<S["result"]>;
  /** What the call would do, and why. Changes nothing. */
  plan(params: S["params"], options?: CallOptions): Promise<Plan>;
  readonly spec: OperationSpec & { readonly name: N };
}

/** Makes the typed function of an operation; only the generated client calls it. */
export function operation<N extends string, S extends Shape>(
  spec: OperationSpec & { readonly name: N },
): Operation<N, S> {
  const run = (params: S["params"], options?: CallOptions) =>
    callOperation(spec, params as Record<string, unknown>, options) as Promise<S["result"]>;
  const plan = (params: S["params"], options?: CallOptions) =>
    planOperation(spec, params as Record<string, unknown>, options);
  return Object.assign(run, { plan, spec });
}
