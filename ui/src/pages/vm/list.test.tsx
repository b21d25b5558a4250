import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import type { MockCloud } from "../../test/mock-cloud";
import { openPage } from "../../test/render";

const row = async (name: string) => (await screen.findByRole("link", { name })).closest("tr") as HTMLElement;
const find = (cloud: MockCloud, name: string) =>
  [...cloud.data.vms.values()].find((vm) => vm.name === name)?.uuid ?? "";
const lastQuery = (cloud: MockCloud) =>
  cloud.calls.filter((call) => call.operation === "QueryVmInstance").at(-1)?.params as Record<
    string,
    unknown
  >;

it("vm_24 asks the server for one page, sorted and counted", async () => {
  const { cloud } = openPage("/vms?page=2&size=10&sort=-name");
  await waitFor(() =>
    expect(lastQuery(cloud)).toMatchObject({
      limit: "10",
      start: "10",
      replyWithCount: "true",
      sort: "-name",
    }),
  );
});

it("vm_24 searches by the chosen field and filters by state on the server", async () => {
  const { cloud, user } = openPage("/vms?in=ip");
  await row("hello");
  await user.type(screen.getByRole("searchbox", { name: "Search" }), "10.1.0.12");
  await waitFor(() => expect(screen.queryByRole("link", { name: "hello" })).toBeNull());
  await row("web-2");
  expect(lastQuery(cloud).q).toContain("vmNics.ip~=%10.1.0.12%");
});

it("vm_24 the filter in the address is applied, and cleared by its button", async () => {
  const { cloud, user } = openPage("/vms?filter=Migrating");
  await user.click(await screen.findByRole("button", { name: "Clear search and filters" }));
  await row("hello");
  expect(lastQuery(cloud).q).not.toContain("state=Migrating");
});

it("vm_34 an action is disabled as the server says, and tells why", async () => {
  openPage("/vms");
  const cells = within(await row("hello"));
  expect(cells.getByRole("button", { name: "Start" })).toHaveProperty("disabled", true);
  expect(cells.getByRole("note").getAttribute("aria-label")).toBe(
    "Start: Not possible in the state Running. Possible now: Stop, Reboot, Console, Pause, Delete.",
  );
  expect(within(await row("web-2")).getByRole("button", { name: "Start" })).toHaveProperty("disabled", false);
});

it("vm_34 a deleted VM is listed when asked for, with what can be done to it", async () => {
  const { cloud, user } = openPage("/vms");
  await row("hello");
  expect(screen.queryByRole("link", { name: "old" })).toBeNull();
  expect(lastQuery(cloud).q).toContain("state!=Destroyed");
  await user.click(screen.getByRole("combobox", { name: "State" }));
  await user.click(await screen.findByTitle("Deleted"));
  const cells = within(await row("old"));
  expect(cells.getByRole("button", { name: "Recover" })).toHaveProperty("disabled", false);
  expect(cells.queryByRole("button", { name: "Start" })).toBeNull();
});

it("bey_05 a state changes in the list without a click", async () => {
  const { cloud } = openPage("/vms");
  await row("web-1");
  await screen.findByText("Live");
  cloud.changeVm(find(cloud, "web-1"), { state: "Stopping" });
  await within(await row("web-1")).findByText("Stopping");
});

it("starts a VM and follows it to Running", async () => {
  const { user } = openPage("/vms");
  await user.click(within(await row("web-2")).getByRole("button", { name: "Start" }));
  await within(await row("web-2")).findByText("Running");
  await screen.findByText("Start web-2: done");
});

it("bey_01 a stop asks first, with the server's plan", async () => {
  const { cloud, user } = openPage("/vms");
  await user.click(within(await row("hello")).getByRole("button", { name: "Stop" }));
  const dialog = within(await screen.findByRole("dialog"));
  await dialog.findByText("Close volumes");
  const changes = within(dialog.getByRole("region", { name: "Would change" }));
  changes.getByText(/VM( instance)? hello/);
  changes.getByText("State: Running → Stopped");
  expect(cloud.calls.some((call) => call.operation === "StopVmInstance" && !call.plan)).toBe(false);
  await user.click(dialog.getByRole("button", { name: "Stop" }));
  await within(await row("hello")).findByText("Stopped");
});

it("shows a failed action with code and details", async () => {
  const { cloud, user } = openPage("/vms");
  cloud.refuse("StartVmInstance", {
    code: "HOST_ALLOCATION.1001",
    description: "No host fits",
    details: "2 hosts were looked at",
    cause: { code: "HOST_ALLOCATION.1002", details: "rack1-a: 512 MiB short" },
  });
  await user.click(within(await row("web-2")).getByRole("button", { name: "Start" }));
  const alert = await screen.findByRole("alert");
  for (const part of [
    "Start web-2 failed",
    "HOST_ALLOCATION.1001",
    "2 hosts were looked at",
    "rack1-a: 512 MiB short",
  ])
    expect(alert.textContent).toContain(part);
});

it("ui_01 a batch skips what does not allow the action", async () => {
  const { cloud, user } = openPage("/vms");
  for (const name of ["hello", "web-2"]) await user.click(within(await row(name)).getByRole("checkbox"));
  await user.click(await screen.findByRole("button", { name: "Stop: 1 of 2" }));
  await user.click(within(await screen.findByRole("dialog")).getByRole("button", { name: "Stop" }));
  await within(await row("hello")).findByText("Stopped");
  const stops = cloud.calls.filter((call) => call.operation === "StopVmInstance" && !call.plan);
  expect(stops.map((call) => (call.params as { uuid: string }).uuid)).toEqual([find(cloud, "hello")]);
});

it("a list that cannot be read says why and tries again", async () => {
  const { cloud, user } = openPage("/vms");
  await row("hello");
  cloud.refuse("QueryVmInstance", { code: "SYS.1000", description: "Internal", details: "disk full" });
  await user.click(screen.getByRole("button", { name: "Read again" }));
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toContain("disk full");
  cloud.refuse("QueryVmInstance");
  await user.click(within(alert).getByRole("button", { name: "Try again" }));
  await waitFor(() => expect(screen.queryByRole("alert")).toBeNull());
});
