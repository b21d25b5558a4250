import { afterEach, expect, it, vi } from "vitest";
import { MockCloud } from "../test/mock-cloud";
import { logInMock } from "../test/render";
import { type ChangeEvent, followEvents, onChange, onGap, SseParser, streamState } from "./events";
import { endSession } from "./session";

afterEach(() => endSession());

it("puts events together from any pieces", () => {
  const parser = new SseParser();
  const text = ': hello\n\nid: 7\nevent: change\ndata: {"a":\ndata: 1}\r\n\r\nevent: change\ndata: 2\n\n';
  const found = [...text].flatMap((piece) => parser.push(piece));
  expect(found).toEqual([
    { event: "change", data: '{"a":\n1}', id: "7" },
    { event: "change", data: "2" },
  ]);
});

/** A stream that the test feeds and ends. */
function stream() {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(given) {
      controller = given;
    },
  });
  const send = (cursor: number) => {
    const event = { cursor, time: 1, type: "VmInstanceVO", uuid: "u", kind: "updated", data: {} };
    controller?.enqueue(new TextEncoder().encode(`event: change\ndata: ${JSON.stringify(event)}\n\n`));
  };
  return { response: new Response(body), send, end: () => controller?.close() };
}

it("resumes behind the last event, and tells of a gap only when it could not", async () => {
  logInMock(new MockCloud());
  const streams = [stream(), stream(), stream()];
  const asked: string[] = [];
  const headers: (string | undefined)[] = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    asked.push(url);
    headers.push((init.headers as Record<string, string>).Authorization);
    // The third try is refused: the cursor is too old.
    if (asked.length === 3) return Promise.resolve(new Response("gone", { status: 400 }));
    return Promise.resolve(streams[asked.length > 3 ? 2 : asked.length - 1]?.response);
  });
  const seen: ChangeEvent[] = [];
  let gaps = 0;
  const stops = [onChange((event) => seen.push(event)), onGap(() => gaps++), followEvents()];
  await vi.waitFor(() => expect(streamState.get()).toBe("live"));
  expect(gaps).toBe(1);
  streams[0]?.send(41);
  await vi.waitFor(() => expect(seen).toHaveLength(1));
  streams[0]?.end();
  await vi.waitFor(() => expect(asked).toHaveLength(2), 3000);
  streams[1]?.end();
  await vi.waitFor(() => expect(asked).toHaveLength(4), 8000);
  await vi.waitFor(() => expect(gaps).toBe(2));
  for (const stop of stops) stop();
  expect(asked).toEqual(["", "?since=41", "?since=41", ""].map((query) => `/v1/cairn/events${query}`));
  expect(headers[0]).toMatch(/^OAuth /);
});
