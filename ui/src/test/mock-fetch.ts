import { vi } from "vitest";
import type { MockCloud } from "./mock-cloud";

/** Puts a mock cloud behind `fetch`: the API and the event stream. */
export function serveCloud(cloud: MockCloud): void {
  vi.stubGlobal("fetch", async (input: string, init: RequestInit = {}) => {
    init.signal?.throwIfAborted();
    const url = new URL(input, "http://page");
    const headers = new Headers(init.headers);
    if (url.pathname === "/v1/cairn/events") return eventResponse(cloud, init.signal);
    const answer = await cloud.handle({
      method: init.method ?? "GET",
      path: url.pathname,
      query: url.searchParams,
      header: (name) => headers.get(name) ?? undefined,
      body: typeof init.body === "string" ? init.body : "",
    });
    init.signal?.throwIfAborted();
    const text = typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body);
    return new Response(text, { status: answer.status });
  });
}

function eventResponse(cloud: MockCloud, signal: AbortSignal | null | undefined): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const stop = cloud.listen((event) =>
        controller.enqueue(
          encoder.encode(`id: ${event.cursor}\nevent: change\ndata: ${JSON.stringify(event)}\n\n`),
        ),
      );
      signal?.addEventListener("abort", () => {
        stop();
        controller.error(signal.reason);
      });
    },
  });
  return new Response(body, { status: 200 });
}
