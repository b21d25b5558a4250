import { useSyncExternalStore } from "react";

const query = () => window.matchMedia("(max-width: 640px)");

/** Whether there is room for one column only, as on a telephone. */
export function useNarrow(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const list = query();
      list.addEventListener("change", changed);
      return () => list.removeEventListener("change", changed);
    },
    () => query().matches,
  );
}
