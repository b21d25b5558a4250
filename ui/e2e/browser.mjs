// What the browser tests share: where the server is, a browser, a logged-in page.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const url = process.env.CAIRN_URL ?? "http://127.0.0.1:5000";
export const account = process.env.CAIRN_ACCOUNT ?? "admin";
export const password = process.env.CAIRN_PASSWORD ?? "password";
/** Name of a VM that is known to run. */
export const vmName = process.env.CAIRN_VM ?? "hello";

/** Guests under emulation are slow, and so is a page beside them. */
export const PATIENCE_MS = Number(process.env.CAIRN_E2E_TIMEOUT_MS ?? 30_000);

export async function openBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A page in a fresh profile; faults of the page's own code end up in `faults`. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({
    locale: "en-US",
    reducedMotion: "reduce",
    viewport: { width: 1360, height: 860 },
    baseURL: url,
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error));
  return { page, context, faults };
}

export async function fillLogin(page, name, secret) {
  await page.getByLabel("Account name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(secret);
  await page.getByRole("button", { name: "Log in" }).click();
}

export async function logIn(page) {
  await page.goto("/login");
  await fillLogin(page, account, password);
  await page.getByRole("heading", { name: "VM instances" }).waitFor();
}

/** The row of a list by the name in it. */
export const rowOf = (page, name) =>
  page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });

const shots = process.env.CAIRN_SHOTS;

/** Keeps a picture of the page when CAIRN_SHOTS names a folder for it. */
export async function shoot(page, name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.waitForTimeout(250);
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

/** Opens a select and takes its first choice. */
export async function chooseFirst(page, label) {
  await page.getByRole("combobox", { name: new RegExp(`^(\\* )?${label}$`) }).click();
  await page.locator(".ant-select-dropdown:visible .ant-select-item-option").first().click();
  await page.keyboard.press("Escape");
}
