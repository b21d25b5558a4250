// The page in a real browser, against a server that already runs (CAIRN_URL) or the mock (npm run e2e:mock).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  account,
  chooseFirst,
  fillLogin,
  logIn,
  openBrowser,
  openPage,
  rowOf,
  shoot,
  vmName,
} from "./browser.mjs";

let browser;
before(async () => {
  browser = await openBrowser();
});
after(() => browser?.close());

/** Runs a test on a page of its own, and fails it when the page's code had a fault. */
function pageTest(name, run, options) {
  test(name, async () => {
    const { page, context, faults } = await openPage(browser, options);
    try {
      await run(page, context);
    } catch (error) {
      await shoot(page, `failed-${name}`);
      throw error;
    } finally {
      await context.close();
    }
    assert.deepEqual(faults, []);
  });
}

pageTest("log_01_wrong_password_shows_the_error", async (page) => {
  await page.goto("/");
  await page.waitForURL("**/login");
  await shoot(page, "login");
  await fillLogin(page, account, "not the password");
  const alert = page.getByRole("alert").filter({ hasText: "The login failed" });
  await alert.waitFor();
  assert.match(await alert.textContent(), /Code\s+[A-Z]+\.\d+/);
  assert.ok(page.url().endsWith("/login"));
  await shoot(page, "login-failed");
});

pageTest("log_01_login_opens_the_list_and_logout_closes_it", async (page) => {
  await logIn(page);
  await page.getByRole("button", { name: `Account: ${account}` }).click();
  await page.getByRole("menuitem", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await page.goto("/vms");
  await page.getByRole("heading", { name: "Log in" }).waitFor();
});

pageTest("vm_24_list_shows_the_running_vm_and_finds_it_by_name", async (page) => {
  await logIn(page);
  await rowOf(page, vmName).getByText("Running").waitFor();
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await shoot(page, "vm-list");
  await page.getByRole("searchbox", { name: "Search" }).fill("no-such-vm");
  await page.getByText("Nothing matches the search").waitFor();
  await page.getByRole("searchbox", { name: "Search" }).fill(vmName);
  await rowOf(page, vmName).getByText("Running").waitFor();
  assert.match(page.url(), new RegExp(`q=${vmName}`));
});

pageTest("vm_34_disabled_action_says_why", async (page) => {
  await logIn(page);
  await rowOf(page, vmName).getByText("Running").waitFor();
  const start = rowOf(page, vmName).getByRole("button", { name: "Start" });
  assert.ok(await start.isDisabled());
  await rowOf(page, vmName)
    .getByRole("note", { name: /^Start:/ })
    .hover();
  await page.getByRole("tooltip").filter({ hasText: "Not possible in the state Running" }).waitFor();
  await shoot(page, "disabled-action");
});

pageTest("bey_01_create_form_shows_the_plan", async (page) => {
  await logIn(page);
  await page.getByRole("link", { name: "Create VM" }).click();
  await page.getByRole("textbox", { name: /^(\* )?Name$/ }).fill("planned");
  for (const label of ["Instance offering", "Image", "L3 networks"]) await chooseFirst(page, label);
  await page.getByRole("button", { name: "Show plan" }).click();
  const plan = page.getByRole("region", { name: "Plan" });
  await plan.waitFor();
  assert.match(await plan.textContent(), /host/i);
  await shoot(page, "create-plan");
});

pageTest("bey_01_delete_asks_with_the_plan", async (page) => {
  await logIn(page);
  await page.getByRole("link", { name: vmName, exact: true }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("region", { name: "Plan" }).waitFor();
  assert.match(await dialog.textContent(), new RegExp(vmName));
  await shoot(page, "delete-plan");
  await dialog.getByRole("button", { name: "Cancel" }).click();
});

pageTest("vm_detail_shows_basics_nics_and_volumes", async (page) => {
  await logIn(page);
  await page.getByRole("link", { name: vmName, exact: true }).click();
  await page.getByRole("heading", { name: vmName }).waitFor();
  await shoot(page, "vm-basics");
  await page.getByRole("tab", { name: /NICs/ }).click();
  await page
    .getByRole("table", { name: "NICs" })
    .getByText(/\d+\.\d+\.\d+\.\d+/)
    .first()
    .waitFor();
  await shoot(page, "vm-nics");
  await page.getByRole("tab", { name: /Volumes/ }).click();
  await page.getByRole("table", { name: "Volumes" }).getByText("Root", { exact: true }).waitFor();
  await page.getByRole("tab", { name: /Tags/ }).click();
  await page.getByRole("textbox", { name: "New tag" }).waitFor();
  await shoot(page, "vm-tags");
  await page.getByRole("tab", { name: "Operations" }).click();
  await page.getByText("Longer work runs as a workflow").waitFor();
  await shoot(page, "vm-runs");
});

pageTest("vm_06_console_shows_the_screen", async (page) => {
  await logIn(page);
  const [opened] = await Promise.all([
    page.context().waitForEvent("page"),
    rowOf(page, vmName).getByRole("button", { name: "Console" }).click(),
  ]);
  await opened.locator(".console-screen[data-phase=connected] canvas").waitFor();
  const size = await opened.locator("canvas").evaluate((canvas) => canvas.width * canvas.height);
  assert.ok(size > 0, "the canvas has a size");
  await shoot(opened, "console");
});

pageTest("ops_16_language_switches_at_once", async (page) => {
  await logIn(page);
  await page.getByRole("button", { name: /^Language/ }).click();
  await page.getByRole("menuitem", { name: "简体中文" }).click();
  await page.getByRole("link", { name: "云主机", exact: true }).waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "zh-CN");
});

/** Renames the VM whose page is open. */
async function rename(page, name) {
  await page.getByRole("button", { name: "Edit Name" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill(name);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name }).waitFor();
}

pageTest("bey_05_a_change_in_one_window_appears_in_another", async (page, context) => {
  await logIn(page);
  await rowOf(page, vmName).waitFor();
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  const other = await context.newPage();
  await other.goto("/vms");
  await other.getByRole("link", { name: vmName, exact: true }).click();
  await rename(other, `${vmName}-renamed`);
  try {
    await rowOf(page, `${vmName}-renamed`).waitFor();
  } finally {
    await rename(other, vmName);
  }
  await rowOf(page, vmName).waitFor();
});

// Only the mock may be given a VM to keep.
if (process.env.CAIRN_MOCK === "1")
  pageTest("bey_05_create_is_followed_live_until_the_vm_runs", async (page) => {
    await logIn(page);
    await page.goto("/vms/new");
    await page.getByRole("textbox", { name: /^(\* )?Name$/ }).fill("live-1");
    for (const label of ["Instance offering", "Image", "L3 networks"]) await chooseFirst(page, label);
    await page.getByRole("button", { name: "Create VM" }).click();
    await rowOf(page, "live-1").getByText("Starting").waitFor();
    await shoot(page, "vm-starting");
    await page.getByRole("link", { name: "live-1", exact: true }).click();
    await page.getByRole("list", { name: "Under way now" }).waitFor();
    await shoot(page, "vm-under-way");
    await page.getByRole("button", { name: /^Tasks/ }).click();
    await shoot(page, "tasks");
    await page.getByRole("button", { name: "Close" }).first().click();
    await page.getByRole("heading", { name: /live-1 Running/ }).waitFor();
  });
