import { useCallback, useEffect } from "react";
import { onChange, onGap } from "../../api/events";
import { findByUuid, type QueryOperation } from "../../api/query";
import { type Loaded, useLoad, useThrottled } from "../../lib/use-load";
import type { Resource } from "../actions";

const RELOAD_MS = 300;

/** One resource, kept up to date by the event stream. Null when it does not exist or may not be seen. */
export function useResource<T extends Resource>(
  query: QueryOperation<T>,
  uuid: string,
  eventTypes: readonly string[],
): Loaded<T | null> {
  const loaded = useLoad(
    useCallback(
      async (signal: AbortSignal) => (await findByUuid(query, uuid, signal)) ?? null,
      [query, uuid],
    ),
  );
  const { patch } = loaded;
  const reloadSoon = useThrottled(loaded.reload, RELOAD_MS);
  useEffect(
    () =>
      onChange((event) => {
        if (event.uuid === uuid && event.kind === "updated")
          patch((shown) => shown && { ...shown, ...event.data });
        const ours =
          event.uuid === uuid || (eventTypes.includes(event.type) && event.data?.vmInstanceUuid === uuid);
        if (ours) reloadSoon();
      }),
    [uuid, eventTypes, patch, reloadSoon],
  );
  useEffect(() => onGap(reloadSoon), [reloadSoon]);
  return loaded;
}
