import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { MockCloud } from "../../test/mock-cloud";
import { openPage } from "../../test/render";

function open(name: string, tab = "basics", stepMs = 5) {
  const cloud = new MockCloud(stepMs);
  const uuid = [...cloud.data.vms.values()].find((vm) => vm.name === name)?.uuid ?? "";
  return { uuid, ...openPage(`/vms/${uuid}?tab=${tab}`, cloud) };
}

it("vm_35 renames in place: Enter saves", async () => {
  const { user } = open("hello");
  await user.click(await screen.findByRole("button", { name: "Edit Name" }));
  const input = screen.getByRole("textbox", { name: "Name" });
  await user.clear(input);
  await user.type(input, "hello-2{Enter}");
  await screen.findByRole("heading", { name: /hello-2/ });
});

it("vm_35 Escape takes a rename back, and an empty name cannot be saved", async () => {
  const { user } = open("hello");
  await user.click(await screen.findByRole("button", { name: "Edit Name" }));
  await user.clear(screen.getByRole("textbox", { name: "Name" }));
  expect(screen.getByRole("button", { name: "Save" })).toHaveProperty("disabled", true);
  await user.keyboard("{Escape}");
  expect(screen.queryByRole("textbox", { name: "Name" })).toBeNull();
  await screen.findByRole("heading", { name: /hello/ });
});

it("lists NICs with the names of their networks", async () => {
  open("db-1", "nics");
  const table = within(await screen.findByRole("table", { name: "NICs" }));
  await table.findByText("storage-net");
  table.getByText("10.1.0.13");
  table.getByText("default");
});

it("tag_01 adds and removes user tags", async () => {
  const { user, cloud } = open("hello", "tags");
  await user.type(await screen.findByRole("textbox", { name: "New tag" }), "lab{Enter}");
  await user.click(await screen.findByRole("button", { name: "Remove tag lab" }));
  await screen.findByText("No user tags");
  expect(cloud.data.userTags).toEqual([]);
});

it("bey_02 shows what a workflow is doing while it runs", async () => {
  const { user } = open("web-2", "runs", 80);
  await user.click(await screen.findByRole("button", { name: "Start" }));
  const list = within(await screen.findByRole("list", { name: "Operations" }));
  await list.findByText("VM start");
  await waitFor(() => expect(list.getByText("Start the guest").getAttribute("aria-current")).toBe("step"), {
    timeout: 3000,
  });
  await list.findByText("Done");
});

it("bey_02 a stuck run offers retry and abandon", async () => {
  const { cloud, user, uuid } = open("hello", "runs");
  cloud.data.runs.push({
    uuid: "r1",
    name: "vm.stop/1",
    resourceUuid: uuid,
    state: "Stuck",
    steps: ["A", "B"],
    step: "A",
  });
  cloud.emit("CairnRunVO", "r1", "created", { resourceUuid: uuid });
  await user.click(await screen.findByRole("button", { name: "Retry" }));
  await user.click(within(await screen.findByRole("tooltip")).getByRole("button", { name: "Retry" }));
  await waitFor(() => expect(cloud.calls.some((call) => call.operation === "RetryRun")).toBe(true));
});

it("vm_34 a deleted VM offers what is possible and no dead buttons", async () => {
  open("old");
  for (const name of ["Recover", "Expunge"])
    expect(await screen.findByRole("button", { name })).toHaveProperty("disabled", false);
  for (const name of ["Start", "Stop", "Reboot"]) expect(screen.queryByRole("button", { name })).toBeNull();
});

it("an unknown uuid says that there is nothing", async () => {
  openPage("/vms/0193500000007000800fffffffffffff");
  await screen.findByText(/does not exist/);
});

it("an expunged VM leaves its page with a word", async () => {
  const { cloud, uuid } = open("old");
  await screen.findByRole("heading", { name: /old/ });
  await screen.findByText("Live");
  cloud.data.vms.delete(uuid);
  cloud.emit("VmInstanceVO", uuid, "deleted");
  await screen.findByText(/does not exist/);
});
