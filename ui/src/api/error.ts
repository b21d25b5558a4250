/** An error as the API sends it. `description` belongs to the code, `details` to this failure. */
export interface ErrorBody {
  code?: string;
  description?: string;
  details?: string;
  elaboration?: string;
  cause?: ErrorBody;
  causes?: ErrorBody[];
  opaque?: Record<string, unknown>;
}

/** Codes that the page itself gives when no answer of the API is at hand. */
export const NETWORK_ERROR = "PAGE.NETWORK";
export const JOB_LOST = "PAGE.JOB_LOST";

/** The session is unknown or has expired. */
export const SESSION_EXPIRED = "ID.1001";

/** A failed call, with the server's own words. */
export class ApiError extends Error {
  constructor(
    readonly body: ErrorBody,
    readonly status: number,
  ) {
    super(body.details || body.description || body.code || `HTTP ${status}`);
    this.name = "ApiError";
  }

  get code(): string {
    return this.body.code ?? `HTTP.${this.status}`;
  }
}

/** Any thrown value as an error body that can be shown. */
export function errorBody(thrown: unknown): ErrorBody {
  if (thrown instanceof ApiError) return { ...thrown.body, code: thrown.code };
  if (thrown instanceof Error) return { description: thrown.message };
  return { description: String(thrown) };
}

/** An error and what led to it, outermost first; several causes follow one another. */
export function causeChain(error: ErrorBody): ErrorBody[] {
  const below = [...(error.cause ? [error.cause] : []), ...(error.causes ?? [])];
  const said = error.details ?? error.description ?? "";
  // A cause that its effect quotes is not said again; what is below it may say more.
  const isQuoted = (one: ErrorBody) => Boolean(one.details && said.includes(one.details));
  return [error, ...below.flatMap(causeChain).filter((one) => !isQuoted(one))];
}
