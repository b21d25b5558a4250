import { useEffect, useMemo } from "react";
import { createStore, useStore } from "../lib/store";
import { onChange } from "./events";
import { getResourceNames } from "./generated";

/** Names of resources by uuid, read once and kept up to date by the event stream. */
const names = createStore<ReadonlyMap<string, string>>(new Map());
const asked = new Set<string>();
let waiting: string[] = [];

onChange((event) => {
  const name = event.data?.name;
  if (typeof name === "string" && names.get().has(event.uuid)) remember([[event.uuid, name]]);
});

function remember(entries: [string, string][]): void {
  names.update((known) => new Map([...known, ...entries]));
}

/** Collects what one rendering asks for into one request. */
function ask(uuid: string): void {
  if (asked.has(uuid)) return;
  asked.add(uuid);
  if (waiting.length === 0) queueMicrotask(fetchNames);
  waiting.push(uuid);
}

async function fetchNames(): Promise<void> {
  const uuids = waiting;
  waiting = [];
  try {
    const answer = await getResourceNames({ uuids });
    remember((answer.inventories ?? []).map((one) => [one.uuid, one.resourceName ?? one.uuid]));
  } catch {
    // A list without names is still a list: the uuid is shown, and a later look asks again.
    for (const uuid of uuids) asked.delete(uuid);
  }
}

/** Forgets every name: another account may see others. */
export function forgetNames(): void {
  asked.clear();
  names.set(new Map());
}

/** Looks names up; gives the uuid itself until the name is there. */
export function useNames(uuids: readonly (string | undefined)[]): (uuid: string | undefined) => string {
  const known = useStore(names);
  const key = uuids.filter(Boolean).join(",");
  useEffect(() => {
    for (const uuid of key ? key.split(",") : []) if (!names.get().has(uuid)) ask(uuid);
  }, [key]);
  return useMemo(() => (uuid) => (uuid ? (known.get(uuid) ?? uuid) : "–"), [known]);
}
