import { useCallback, useEffect, useMemo } from "react";
import { useSearchParams } from "react-router";
import { type ChangeEvent, onChange, onGap } from "../../api/events";
import { type Loaded, useLoad, useThrottled } from "../../lib/use-load";
import type { Resource } from "../actions";
import type { ListSpec } from "./spec";

export const PAGE_SIZES = [10, 20, 50, 100];
const DEFAULT_SIZE = 20;

/** What the reader chose. It lives in the address, so that a reload, a link and the back button keep it. */
export interface ListChoice {
  page: number;
  size: number;
  text: string;
  field: string;
  filter: string;
  sort: string;
}

const sizeKey = (id: string) => `cairn.pageSize.${id}`;

function whole(text: string | null, otherwise: number): number {
  const number = Number(text);
  return Number.isInteger(number) && number > 0 ? number : otherwise;
}

export function useChoice<T extends Resource>(
  spec: ListSpec<T>,
): [ListChoice, (change: Partial<ListChoice>) => void] {
  const [search, setSearch] = useSearchParams();
  const choice = useMemo<ListChoice>(
    () => ({
      page: whole(search.get("page"), 1),
      size: whole(search.get("size"), whole(localStorage.getItem(sizeKey(spec.id)), DEFAULT_SIZE)),
      text: search.get("q") ?? "",
      field: search.get("in") ?? spec.search[0]?.key ?? "",
      filter: search.get("filter") ?? "",
      sort: search.get("sort") ?? spec.sort,
    }),
    [search, spec],
  );
  const change = useCallback(
    (next: Partial<ListChoice>) => {
      if (next.size) localStorage.setItem(sizeKey(spec.id), String(next.size));
      const merged = { ...choice, page: 1, ...next };
      const params = new URLSearchParams();
      if (merged.text) params.set("q", merged.text);
      if (merged.text && merged.field !== spec.search[0]?.key) params.set("in", merged.field);
      if (merged.filter) params.set("filter", merged.filter);
      if (merged.sort !== spec.sort) params.set("sort", merged.sort);
      if (merged.page > 1) params.set("page", String(merged.page));
      if (next.size || search.has("size")) params.set("size", String(merged.size));
      setSearch(params, { replace: next.page === undefined });
    },
    [choice, search, setSearch, spec],
  );
  return [choice, change];
}

/** The query conditions of a choice. */
export function conditionsOf<T extends Resource>(spec: ListSpec<T>, choice: ListChoice): string[] {
  const field = spec.search.find((one) => one.key === choice.field) ?? spec.search[0];
  return [
    ...(spec.conditions ?? []),
    ...(choice.text.trim() && field ? [field.condition(choice.text.trim())] : []),
    ...filterOf(spec, choice.filter),
  ];
}

function filterOf<T extends Resource>({ filter }: ListSpec<T>, chosen: string): string[] {
  if (!filter) return [];
  if (chosen) return [`${filter.field}=${chosen}`];
  return filter.hidden ? [`${filter.field}!=${filter.hidden}`] : [];
}

/** A burst of events makes at most one read in this time. */
const RELOAD_MS = 400;

/** The rows of one page, read from the server and then kept up to date by the event stream. */
export function useRows<T extends Resource>(
  spec: ListSpec<T>,
  choice: ListChoice,
): Loaded<{ rows: T[]; total: number }> {
  const loaded = useLoad(
    useCallback(
      async (signal: AbortSignal) => {
        const answer = await spec.query(
          {
            q: conditionsOf(spec, choice),
            limit: choice.size,
            start: (choice.page - 1) * choice.size,
            replyWithCount: true,
            sort: choice.sort,
          },
          { signal },
        );
        const rows = answer.inventories ?? [];
        return { rows, total: answer.total ?? rows.length };
      },
      [spec, choice],
    ),
  );
  const { patch } = loaded;
  const reloadSoon = useThrottled(loaded.reload, RELOAD_MS);
  useEffect(
    () =>
      onChange((event) => {
        if (!spec.eventTypes.includes(event.type)) return;
        if (event.type === spec.eventTypes[0] && event.kind === "updated")
          patch((page) => applied(page, event));
        reloadSoon();
      }),
    [spec, patch, reloadSoon],
  );
  useEffect(() => onGap(reloadSoon), [reloadSoon]);
  return loaded;
}

/** The page with the changed fields of one row; the reading that follows brings what depends on them. */
function applied<T extends Resource>(
  page: { rows: T[]; total: number },
  event: ChangeEvent,
): { rows: T[]; total: number } {
  if (!page.rows.some((row) => row.uuid === event.uuid)) return page;
  return {
    ...page,
    rows: page.rows.map((row) => (row.uuid === event.uuid ? { ...row, ...event.data } : row)),
  };
}
