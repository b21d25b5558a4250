import { render, screen, within } from "@testing-library/react";
import { expect, it } from "vitest";
import type { Plan } from "../api/call";
import { setLanguage } from "../i18n";
import { MockCloud } from "../test/mock-cloud";
import { serveCloud } from "../test/mock-fetch";
import { logInMock } from "../test/render";
import { PlanView } from "./plan-view";

const VM = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
const NIC = "1f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";

function show(plan: (host: string) => Plan) {
  const cloud = new MockCloud();
  serveCloud(cloud);
  logInMock(cloud);
  const host = cloud.data.hosts[0];
  render(<PlanView plan={plan(host?.uuid ?? "")} />);
  return host?.name ?? "";
}

it("bey_01 a plan names what it speaks of, and no uuid is left", async () => {
  const host = show((uuid) => ({
    steps: [
      { step: "Reserve", text: `run on ${uuid}`, why: `VM NIC ${NIC} fits there` },
      { step: "PowerOff" },
    ],
    creates: [
      { type: "VmInstanceVO", uuid: VM, name: "web-1" },
      { type: "VmNicVO", uuid: NIC, name: "" },
    ],
    changes: [
      {
        type: "VmInstanceVO",
        uuid: VM,
        name: "web-1",
        fields: [
          { field: "state", from: "Stopped", to: "Destroyed" },
          { field: "hostUuid", from: uuid },
        ],
      },
    ],
  }));
  const plan = within(screen.getByRole("region", { name: "Plan" }));
  await plan.findByText(`run on ${host}`);
  plan.getByText("VM NIC fits there");
  plan.getByText("Power off");
  within(plan.getByRole("region", { name: "Would be created" })).getByText("VM web-1");
  const changes = within(plan.getByRole("region", { name: "Would change" }));
  changes.getByText("State: Stopped → Deleted");
  changes.getByText(`Host: ${host} → –`);
  expect(document.body.textContent).not.toMatch(/[0-9a-f]{32}/);
});

it("ops_16 a plan speaks the chosen language", async () => {
  setLanguage("zh-CN");
  show(() => ({
    steps: [{ step: "PowerOff" }],
    deletes: [{ type: "VmInstanceVO", uuid: VM, name: "web-1" }],
  }));
  const plan = within(screen.getByRole("region", { name: "计划" }));
  plan.getByText("关闭电源");
  plan.getByText(/云主机 web-1/);
  setLanguage("en");
});
