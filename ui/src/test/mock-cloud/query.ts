import type { QueryParams } from "../../api/query";

const OPERATORS = [" is null", " not null", "!?=", "!~=", "!=", ">=", "<=", "~=", "?=", "=", ">", "<"];

interface Condition {
  field: string;
  operator: string;
  value: string;
}

/** Splits a condition at its leftmost, longest operator. */
function parse(text: string): Condition {
  let best: { at: number; operator: string } | undefined;
  for (const operator of OPERATORS) {
    const at = text.indexOf(operator);
    if (at > 0 && (!best || at < best.at)) best = { at, operator };
  }
  if (!best) throw new Error(`no operator in ${text}`);
  return {
    field: text.slice(0, best.at),
    operator: best.operator,
    value: text.slice(best.at + best.operator.length),
  };
}

/** All values a path of fields reaches: lists are gone through. */
function reach(row: unknown, path: string[]): unknown[] {
  if (Array.isArray(row)) return row.flatMap((one) => reach(one, path));
  const [field, ...rest] = path;
  if (field === undefined) return [row];
  if (row === null || typeof row !== "object") return [];
  return reach((row as Record<string, unknown>)[field], rest);
}

function like(value: unknown, pattern: string): boolean {
  const escaped = pattern
    .replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
    .replaceAll("%", ".*")
    .replaceAll("_", ".");
  return new RegExp(`^${escaped}$`, "is").test(String(value));
}

function holds(row: object, { field, operator, value }: Condition): boolean {
  const found = reach(row, field.split(".")).filter((one) => one !== undefined);
  switch (operator) {
    case " is null":
      return found.length === 0;
    case " not null":
      return found.length > 0;
    case "=":
      return found.some((one) => String(one) === value);
    case "!=":
      return !found.some((one) => String(one) === value);
    case "~=":
      return found.some((one) => like(one, value));
    case "!~=":
      return !found.some((one) => like(one, value));
    case "?=":
      return found.some((one) => value.split(",").includes(String(one)));
    case "!?=":
      return !found.some((one) => value.split(",").includes(String(one)));
    case ">":
      return found.some((one) => Number(one) > Number(value));
    case ">=":
      return found.some((one) => Number(one) >= Number(value));
    case "<":
      return found.some((one) => Number(one) < Number(value));
    default:
      return found.some((one) => Number(one) <= Number(value));
  }
}

/** Answers a query over rows in memory: conditions, sort and pages. Fields behind joins must be in the rows. */
export function answerQuery<T extends object>(
  all: Iterable<T>,
  params: QueryParams,
): { inventories: T[]; total: number } {
  const conditions = (params.q ?? []).map(parse);
  const rows = [...all].filter((row) => conditions.every((condition) => holds(row, condition)));
  const sort = params.sort ?? "";
  const field = sort.replace(/^[+\- ]/, "");
  if (field) {
    const sign = sort.startsWith("-") ? -1 : 1;
    const of = (row: T) => (row as Record<string, unknown>)[field] ?? "";
    rows.sort((a, b) => sign * (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0));
  }
  const start = Number(params.start ?? 0);
  const limit = Number(params.limit ?? 1000);
  return { inventories: rows.slice(start, start + limit).map((row) => ({ ...row })), total: rows.length };
}
