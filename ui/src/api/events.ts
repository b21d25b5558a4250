import { createStore } from "../lib/store";
import { authorization } from "./call";
import { SESSION_EXPIRED } from "./error";
import { endSession, sessionStore } from "./session";

/** One change of a resource, as the event stream tells it. */
export interface ChangeEvent {
  cursor: number;
  /** Milliseconds since 1970, UTC. */
  time: number;
  /** Resource type as tags use it: `VmInstanceVO`. */
  type: string;
  uuid: string;
  kind: "created" | "updated" | "deleted" | "progress";
  /** The fields that changed. */
  data?: Record<string, unknown>;
}

/** Splits a server-sent event stream into its data; keeps what is incomplete for the next piece. */
export class SseParser {
  private rest = "";

  push(piece: string): { event: string; data: string; id?: string }[] {
    this.rest += piece;
    const blocks = this.rest.split(/\r\n\r\n|\n\n|\r\r/);
    this.rest = blocks.pop() ?? "";
    return blocks.map(parseBlock).filter((block) => block.data !== "");
  }
}

function parseBlock(block: string): { event: string; data: string; id?: string } {
  const data: string[] = [];
  let event = "message";
  let id: string | undefined;
  for (const line of block.split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") data.push(value);
    else if (name === "event") event = value;
    else if (name === "id") id = value;
  }
  return { event, data: data.join("\n"), ...(id === undefined ? {} : { id }) };
}

/** `live`: changes arrive as they happen. `offline`: they do not, and the page tries again. */
export type StreamState = "connecting" | "live" | "offline";

export const streamState = createStore<StreamState>("connecting");

type Listener = (event: ChangeEvent) => void;
const listeners = new Set<Listener>();
const gapListeners = new Set<() => void>();

/** Calls back for every change, until the returned function is called. */
export function onChange(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Calls back when changes may have been missed, so that what is shown must be read again. */
export function onGap(listener: () => void): () => void {
  gapListeners.add(listener);
  return () => gapListeners.delete(listener);
}

const RETRY_FIRST_MS = 500;
const RETRY_SLOWEST_MS = 10_000;

/** Follows the event stream until the returned function is called. */
export function followEvents(): () => void {
  const abort = new AbortController();
  void follow(abort.signal);
  return () => abort.abort();
}

async function follow(signal: AbortSignal): Promise<void> {
  let cursor: number | undefined;
  let pause = RETRY_FIRST_MS;
  while (!signal.aborted && sessionStore.get().session) {
    const outcome = await readStream(cursor, signal, (next) => {
      cursor = next;
      pause = RETRY_FIRST_MS;
    });
    if (signal.aborted) return;
    // The server no longer keeps what followed our cursor: start from now and read everything again.
    if (outcome === "refused") cursor = undefined;
    streamState.set("offline");
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, RETRY_SLOWEST_MS);
  }
}

async function readStream(
  since: number | undefined,
  signal: AbortSignal,
  onCursor: (cursor: number) => void,
): Promise<"ended" | "refused"> {
  try {
    const response = await fetch(`/v1/cairn/events${since === undefined ? "" : `?since=${since}`}`, {
      headers: { Accept: "text/event-stream", ...authorization() },
      signal,
    });
    if (!response.ok || !response.body) return await refusal(response);
    streamState.set("live");
    if (since === undefined) for (const listener of [...gapListeners]) listener();
    const parser = new SseParser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "ended";
      for (const block of parser.push(decoder.decode(value, { stream: true }))) take(block, onCursor);
    }
  } catch {
    return "ended";
  }
}

/** The server does not open the stream: the session is over, or our cursor is older than what it keeps. */
async function refusal(response: Response): Promise<"ended" | "refused"> {
  const text = await response.text();
  if (text.includes(`"${SESSION_EXPIRED}"`)) endSession(true);
  return response.status >= 500 && !text.includes('"error"') ? "ended" : "refused";
}

/** Passes one event of the stream on: `hello` tells where it begins, `gap` that events before that are lost. */
function take(block: { event: string; data: string }, onCursor: (cursor: number) => void): void {
  let data: ChangeEvent;
  try {
    data = JSON.parse(block.data) as ChangeEvent;
  } catch {
    return;
  }
  if (block.event === "gap") for (const listener of [...gapListeners]) listener();
  if (block.event === "hello" || block.event === "change") onCursor(data.cursor);
  if (block.event === "change") for (const listener of [...listeners]) listener(data);
}
