// Runs the browser tests against the mock cloud: npm run e2e:mock
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { startMock } from "./mock-server.mjs";

const here = import.meta.dirname;
const { url, close } = await startMock({ stepMs: 700 });
const tests = readdirSync(here).filter((name) => name.endsWith(".test.mjs"));
const child = spawn(
  process.execPath,
  ["--test", "--test-concurrency=1", ...tests.map((name) => join(here, name))],
  { stdio: "inherit", env: { ...process.env, CAIRN_URL: url, CAIRN_MOCK: "1" } },
);
child.on("exit", (code) => {
  close();
  process.exitCode = code ?? 1;
});
