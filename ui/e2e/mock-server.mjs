// A cloud in memory on one port: the built page, the API, the event stream and a console. For a browser without a server:
//   npm run build && npm run mock [PORT]
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { runnerImport } from "vite";
import { serveConsole } from "./mock-console.mjs";

const ui = resolve(fileURLToPath(import.meta.url), "../..");
const dist = join(ui, "dist");
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

async function loadCloud(stepMs) {
  // Modules of the page look at these when they are loaded.
  globalThis.localStorage ??= { getItem: () => null, setItem: () => undefined, removeItem: () => undefined };
  globalThis.navigator ??= { languages: [] };
  const { module } = await runnerImport(join(ui, "src/test/mock-cloud/index.ts"), {
    root: ui,
    logLevel: "error",
  });
  return new module.MockCloud(stepMs);
}

/** Serves a file of the built page; any other address is one of the page's own, so it gets the page. */
function serveFile(path, response) {
  const file = join(dist, normalize(path));
  const found = file.startsWith(dist) && existsSync(file) && statSync(file).isFile();
  const served = found ? file : join(dist, "index.html");
  response.writeHead(200, { "Content-Type": TYPES[extname(served)] ?? "application/octet-stream" });
  createReadStream(served).pipe(response);
}

function serveEvents(cloud, request, response) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  response.write(": hello\n\n");
  const stop = cloud.listen((event) =>
    response.write(`id: ${event.cursor}\nevent: change\ndata: ${JSON.stringify(event)}\n\n`),
  );
  request.on("close", stop);
}

async function serveApi(cloud, request, response, url) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const answer = await cloud.handle({
    method: request.method,
    path: url.pathname,
    query: url.searchParams,
    header: (name) => request.headers[name],
    body: Buffer.concat(pieces).toString(),
  });
  const text = typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body);
  response.writeHead(answer.status, { "Content-Type": "application/json" });
  response.end(text);
}

/** Starts the mock; port 0 takes a free one. */
export async function startMock({ port = 0, stepMs = 400 } = {}) {
  const cloud = await loadCloud(stepMs);
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://page");
    if (url.pathname === "/v1/cairn/events") return serveEvents(cloud, request, response);
    if (/^\/(zstack\/)?v1\//.test(url.pathname)) return serveApi(cloud, request, response, url);
    return serveFile(url.pathname, response);
  });
  server.on("upgrade", (request, socket) => {
    if (request.url.startsWith("/console/")) serveConsole(request, socket);
    else socket.destroy();
  });
  await new Promise((ready) => server.listen(port, "127.0.0.1", ready));
  const url = `http://127.0.0.1:${server.address().port}`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url, cloud, close };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { url } = await startMock({ port: Number(process.argv[2] ?? 5000), stepMs: 900 });
  console.log(`${url}  (account admin, password "password")`);
}
