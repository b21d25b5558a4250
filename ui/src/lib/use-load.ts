import { useCallback, useEffect, useRef, useState } from "react";

export interface Loaded<T> {
  data: T | undefined;
  error: unknown;
  /** True until the first answer for these parameters. */
  loading: boolean;
  /** Reads again in the background; what is shown stays until the answer is there. */
  reload: () => void;
  /** Changes what is shown without asking the server. */
  patch: (change: (data: T) => T) => void;
}

/** Reads something from the server, and again whenever `load` changes. Late answers of earlier reads are dropped. */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ of?: unknown; data?: T; error?: unknown }>({});
  const running = useRef<AbortController | undefined>(undefined);

  const start = useCallback(() => {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    load(abort.signal).then(
      (data) => !abort.signal.aborted && setState({ of: load, data }),
      (error: unknown) => !abort.signal.aborted && setState((before) => ({ ...before, of: load, error })),
    );
  }, [load]);

  useEffect(() => {
    start();
    return () => running.current?.abort();
  }, [start]);

  const patch = useCallback((change: (data: T) => T) => {
    setState((before) => (before.data === undefined ? before : { ...before, data: change(before.data) }));
  }, []);

  return { data: state.data, error: state.error, loading: state.of !== load, reload: start, patch };
}

/** Calls `run` once, `ms` after the first of a burst of calls; never more often. */
export function useThrottled(run: () => void, ms: number): () => void {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const latest = useRef(run);
  useEffect(() => {
    latest.current = run;
  });
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      latest.current();
    }, ms);
  }, [ms]);
}
