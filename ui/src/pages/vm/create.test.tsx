import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { openPage } from "../../test/render";
import { isHostname, isIp, isSshKey, paramsOf, tagsOf } from "./create-request";

type User = ReturnType<typeof openPage>["user"];

async function choose(label: string, option: string) {
  fireEvent.mouseDown(await screen.findByRole("combobox", { name: label }));
  fireEvent.click(await screen.findByText(option, { selector: ".option span" }));
}

async function fill(user: User, name: string) {
  await user.type(await screen.findByLabelText("Name"), name);
  await choose("Instance offering", "small");
  await choose("Image", "cairn-guest");
  await choose("L3 networks", "flat-net");
}

describe("create-request", () => {
  const values = {
    name: " web ",
    instanceOfferingUuid: "o",
    imageUuid: "i",
    l3NetworkUuids: ["n1", "n2"],
    staticIps: { n2: "10.0.0.9", n1: " ", gone: "10.0.0.1" },
    hostname: "web",
    sshKey: "ssh-ed25519 AAAA a@b\n",
    userData: "#cloud-config\n",
  };

  it("makes parameters, with the first network as default", () => {
    expect(paramsOf(values)).toEqual({
      name: "web",
      instanceOfferingUuid: "o",
      imageUuid: "i",
      l3NetworkUuids: ["n1", "n2"],
      defaultL3NetworkUuid: "n1",
    });
    expect(paramsOf({ ...values, defaultL3NetworkUuid: "n2" }).defaultL3NetworkUuid).toBe("n2");
    expect(paramsOf({ ...values, defaultL3NetworkUuid: "gone" }).defaultL3NetworkUuid).toBe("n1");
  });

  it("vm_14 makes system tags", () => {
    expect(tagsOf(values)).toEqual([
      "staticIp::n2::10.0.0.9",
      "hostname::web",
      "sshkey::ssh-ed25519 AAAA a@b",
      "userdata::#cloud-config\n",
    ]);
  });

  it("tells good from bad input", () => {
    expect([isHostname("web-1.lab"), isHostname("-web"), isHostname("a b")]).toEqual([true, false, false]);
    expect([isSshKey("ssh-rsa AAAAB3"), isSshKey("-----BEGIN KEY")]).toEqual([true, false]);
    expect(["10.0.0.1", "fd00::1", "10.0.0.256", "web"].map(isIp)).toEqual([true, true, false, false]);
  });
});

it("bey_01 shows the plan and creates nothing", async () => {
  const { cloud, user } = openPage("/vms/new");
  await fill(user, "planned");
  await user.click(screen.getByRole("button", { name: "Show plan" }));
  const plan = within(await screen.findByRole("region", { name: "Plan" }));
  plan.getByText("Reserve 1 vCPU and 512 MiB on host rack1-a");
  plan.getByText(/most free memory/);
  expect(cloud.data.vms.size).toBe(6);
  await user.type(screen.getByLabelText("Name"), "x");
  await waitFor(() => expect(screen.queryByRole("region", { name: "Plan" })).toBeNull());
});

it("vm_01 creates a VM with its tags and shows it in the list", async () => {
  const { cloud, user } = openPage("/vms/new");
  await fill(user, "new-1");
  await user.type(await screen.findByRole("combobox", { name: "Address on flat-net" }), "10.1.0.77");
  await user.type(screen.getByLabelText("Host name"), "new-1");
  await user.click(screen.getByRole("button", { name: "Create VM" }));
  await screen.findByRole("link", { name: "new-1" });
  const call = cloud.calls.find((one) => one.operation === "CreateVmInstance");
  const network = cloud.data.networks[0]?.uuid;
  expect(call?.context.systemTags).toEqual([`staticIp::${network}::10.1.0.77`, "hostname::new-1"]);
});

it("l3_05 offers free addresses", async () => {
  const { user } = openPage("/vms/new");
  await choose("L3 networks", "flat-net");
  await user.type(await screen.findByRole("combobox", { name: "Address on flat-net" }), "10.1.0.2");
  await screen.findByRole("option", { name: "10.1.0.20" });
});

it("bey_03 a refusal stays in the form, with every reason", async () => {
  const { cloud, user } = openPage("/vms/new");
  cloud.refuse("CreateVmInstance", {
    code: "HOST_ALLOCATION.1001",
    description: "No host fits",
    causes: [{ details: "rack1-a: 512 MiB short" }, { details: "rack1-b: not connected" }],
  });
  await fill(user, "too-large");
  await user.click(screen.getByRole("button", { name: "Create VM" }));
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toContain("rack1-a: 512 MiB short");
  expect(alert.textContent).toContain("rack1-b: not connected");
});

it("says at each field what is missing", async () => {
  const { user } = openPage("/vms/new");
  await user.click(await screen.findByRole("button", { name: "Create VM" }));
  for (const field of ["Name", "Instance offering", "Image", "L3 networks"])
    await screen.findByText(`${field}: please fill this in`);
});
