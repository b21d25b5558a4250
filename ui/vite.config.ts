/// <reference types="vitest/config" />
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Where `npm run dev` finds the server: API, event stream and consoles. */
const server = process.env.CAIRN_URL ?? "http://127.0.0.1:5000";

export default defineConfig({
  plugins: [react()],
  build: {
    // noVNC awaits at the top level of a module.
    target: "es2022",
    chunkSizeWarningLimit: 1500,
  },
  server: {
    port: 5173,
    proxy: {
      "/zstack": server,
      "/v1": server,
      "/console": { target: server, ws: true },
    },
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test/setup.ts"],
    restoreMocks: true,
    testTimeout: 30_000,
    maxWorkers: 1,
  },
});
