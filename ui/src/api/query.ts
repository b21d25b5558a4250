import type { Operation } from "./operation";

/** Parameters that all queries share. */
export interface QueryParams {
  q?: string[];
  limit?: number;
  start?: number;
  replyWithCount?: boolean;
  count?: boolean;
  /** `+name` ascending, `-name` descending. */
  sort?: string;
  fields?: string;
  groupBy?: string;
}

/** A query operation that returns rows of `T`. */
export type QueryOperation<T> = Pick<
  Operation<string, { params: QueryParams; result: { inventories?: T[]; total?: number } }>,
  "spec"
> &
  ((
    params: QueryParams,
    options?: { signal?: AbortSignal },
  ) => Promise<{ inventories?: T[]; total?: number }>);

/** The row with this uuid, or undefined: a query answers an unknown uuid with an empty list. */
export async function findByUuid<T>(
  query: QueryOperation<T>,
  uuid: string,
  signal?: AbortSignal,
): Promise<T | undefined> {
  const answer = await query({ q: [`uuid=${uuid}`] }, signal ? { signal } : {});
  return answer.inventories?.[0];
}
