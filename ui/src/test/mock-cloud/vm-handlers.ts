import type { Plan } from "../../api/call";
import type { Operations } from "../../api/generated";
import { type MockCloud, Refusal } from "./cloud";
import { type MockVm, makeVm, newUuid } from "./data";
import type { CallContext, Handlers, Planners } from "./handlers";
import { answerQuery } from "./query";

/** What each state allows. Only the mock has such a table: the page shows what it is told. */
const ALLOWED: Record<string, string[]> = {
  Running: [
    "StopVmInstance",
    "RebootVmInstance",
    "PauseVmInstance",
    "RequestConsoleAccess",
    "DestroyVmInstance",
    "UpdateVmInstance",
  ],
  Stopped: ["StartVmInstance", "DestroyVmInstance", "UpdateVmInstance"],
  Paused: ["ResumeVmInstance", "StopVmInstance", "DestroyVmInstance", "UpdateVmInstance"],
  Unknown: ["StopVmInstance"],
  Destroyed: ["RecoverVmInstance", "ExpungeVmInstance"],
};

const allowed = (vm: MockVm): MockVm => ({ ...vm, allowedActions: ALLOWED[vm.state ?? ""] ?? [] });

const CREATE = [
  "CheckQuota",
  "ReserveHost",
  "TakeAddresses",
  "MakeRootVolume",
  "PlugNics",
  "Boot",
  "MarkRunning",
];
const MOVES = {
  StartVmInstance: {
    name: "vm.start/1",
    via: "Starting",
    to: "Running",
    steps: ["MarkStarting", "ReserveHost", "OpenVolumes", "PlugNics", "Boot", "MarkRunning"],
  },
  StopVmInstance: {
    name: "vm.stop/1",
    via: "Stopping",
    to: "Stopped",
    steps: ["MarkStopping", "AskGuest", "CloseVolumes", "MarkStopped"],
  },
  RebootVmInstance: {
    name: "vm.reboot/1",
    via: "Rebooting",
    to: "Running",
    steps: ["MarkRebooting", "AskGuest", "Boot", "MarkRunning"],
  },
  PauseVmInstance: { name: "vm.pause/1", via: "Pausing", to: "Paused", steps: ["Pause"] },
  ResumeVmInstance: { name: "vm.resume/1", via: "Resuming", to: "Running", steps: ["Resume"] },
  RecoverVmInstance: { name: "vm.recover/1", via: "Stopping", to: "Stopped", steps: ["Recover"] },
} as const;
type Move = keyof typeof MOVES;

function find(cloud: MockCloud, uuid: string): MockVm {
  const vm = cloud.data.vms.get(uuid);
  if (!vm)
    throw new Refusal({
      code: "SYS.1003",
      description: "No such resource",
      details: `VM ${uuid} does not exist`,
    });
  return vm;
}

function check(cloud: MockCloud, uuid: string, operation: string): MockVm {
  const vm = find(cloud, uuid);
  if (!ALLOWED[vm.state ?? ""]?.includes(operation))
    throw new Refusal({
      code: "VM.1010",
      description: "Not allowed in this state",
      details: `VM ${vm.name} is ${vm.state}`,
    });
  return vm;
}

async function move(cloud: MockCloud, operation: Move, uuid: string, jobUuid?: string) {
  check(cloud, uuid, operation);
  const { name, via, to, steps } = MOVES[operation];
  cloud.changeVm(uuid, { state: via });
  await cloud.run(name, uuid, [...steps], jobUuid);
  const hostUuid = to === "Stopped" ? undefined : cloud.data.hosts[0]?.uuid;
  cloud.changeVm(uuid, { state: to, hostUuid });
  return { inventory: allowed(find(cloud, uuid)) };
}

async function create(
  cloud: MockCloud,
  params: Operations["CreateVmInstance"]["params"],
  context: CallContext,
) {
  const { data } = cloud;
  const wanted = context.systemTags.find((tag) => tag.startsWith("staticIp::"))?.split("::")[2];
  const networks = data.networks.filter((network) => params.l3NetworkUuids.includes(network.uuid));
  const vm = makeVm(data, {
    name: params.name,
    state: "Starting",
    ip: wanted ?? `10.1.0.${40 + data.vms.size}`,
    age: 0,
    networks,
  });
  data.vms.set(vm.uuid, vm);
  for (const tag of context.systemTags)
    data.systemTags.push({
      uuid: newUuid(),
      resourceType: "VmInstanceVO",
      resourceUuid: vm.uuid,
      tag,
      type: "System",
    });
  cloud.emit("VmInstanceVO", vm.uuid, "created");
  await cloud.run("vm.create/1", vm.uuid, CREATE, context.jobUuid);
  cloud.changeVm(vm.uuid, { state: "Running" });
  return { inventory: allowed(vm) };
}

/** VMs: their queries, life and consoles. */
export function vmHandlers(cloud: MockCloud): Handlers {
  const { data } = cloud;
  return {
    QueryVmInstance: (params) => answerQuery([...data.vms.values()].map(allowed), params),
    CreateVmInstance: (params, context) => create(cloud, params, context),
    UpdateVmInstance: ({ uuid, name, description }) => {
      check(cloud, uuid, "UpdateVmInstance");
      cloud.changeVm(uuid, {
        ...(name === undefined ? {} : { name }),
        ...(description === undefined ? {} : { description }),
      });
      return { inventory: allowed(find(cloud, uuid)) };
    },
    StartVmInstance: ({ uuid }, { jobUuid }) => move(cloud, "StartVmInstance", uuid, jobUuid),
    StopVmInstance: ({ uuid }, { jobUuid }) => move(cloud, "StopVmInstance", uuid, jobUuid),
    RebootVmInstance: ({ uuid }, { jobUuid }) => move(cloud, "RebootVmInstance", uuid, jobUuid),
    PauseVmInstance: ({ uuid }, { jobUuid }) => move(cloud, "PauseVmInstance", uuid, jobUuid),
    ResumeVmInstance: ({ uuid }, { jobUuid }) => move(cloud, "ResumeVmInstance", uuid, jobUuid),
    RecoverVmInstance: ({ uuid }, { jobUuid }) => move(cloud, "RecoverVmInstance", uuid, jobUuid),
    DestroyVmInstance: async ({ uuid }) => {
      check(cloud, uuid, "DestroyVmInstance");
      cloud.changeVm(uuid, { state: "Destroying" });
      await cloud.run("vm.destroy/1", uuid, ["PowerOff", "MarkDestroyed"]);
      cloud.changeVm(uuid, { state: "Destroyed", hostUuid: undefined });
      return {};
    },
    ExpungeVmInstance: async ({ uuid }) => {
      check(cloud, uuid, "ExpungeVmInstance");
      cloud.changeVm(uuid, { state: "Expunging" });
      await cloud.run("vm.expunge/1", uuid, ["DeleteVolumes", "ReturnAddresses", "Forget"]);
      data.vms.delete(uuid);
      cloud.emit("VmInstanceVO", uuid, "deleted");
      return {};
    },
    RequestConsoleAccess: ({ vmInstanceUuid }) => {
      check(cloud, vmInstanceUuid, "RequestConsoleAccess");
      return { inventory: { scheme: "vnc", hostname: "127.0.0.1", port: 5000, token: newUuid() } };
    },
  };
}

function planCreate(
  cloud: MockCloud,
  params: Operations["CreateVmInstance"]["params"],
  context: CallContext,
): Plan {
  const host = cloud.data.hosts[0];
  const wanted = context.systemTags.find((tag) => tag.startsWith("staticIp::"))?.split("::")[2];
  return {
    summary: `Create VM ${params.name} on host ${host?.name}`,
    steps: [
      {
        step: "CheckQuota",
        text: "Check the quota of account admin",
        why: "7 of 20 VMs and 14 of 80 vCPU are in use",
      },
      {
        step: "ReserveHost",
        text: `Reserve 1 vCPU and 512 MiB on host ${host?.name}`,
        why: "most free memory of 1 fitting host; rack1-b is not connected",
      },
      {
        step: "TakeAddresses",
        text: `Take address ${wanted ?? "10.1.0.47"} on flat-net`,
        why: wanted ? "you asked for it" : "lowest free address of 10.1.0.0/24",
      },
      {
        step: "MakeRootVolume",
        text: "Make an 8 GiB root volume from image cairn-guest",
        why: "the image is in the cache of this host",
      },
      { step: "Boot", text: "Boot the guest" },
    ],
    creates: [`VM instance ${params.name}`, `root volume ROOT-for-${params.name}`, "NIC on flat-net"],
    deletes: [],
  };
}

function planDestroy(cloud: MockCloud, uuid: string): Plan {
  const vm = find(cloud, uuid);
  return {
    summary: `Delete VM ${vm.name}; it can be recovered for 1 day`,
    steps: [
      { step: "PowerOff", text: "Power the guest off", why: "it is running" },
      {
        step: "MarkDestroyed",
        text: "Keep volumes and addresses until the VM is expunged",
        why: "deletion policy Delay",
      },
    ],
    creates: [],
    deletes: [{ type: "VM instance", name: vm.name ?? "", uuid }],
  };
}

const planMove =
  (cloud: MockCloud, operation: Move) =>
  ({ uuid }: { uuid: string }): Plan => ({
    summary: `${operation.replace("VmInstance", "")} VM ${find(cloud, uuid).name}`,
    steps: MOVES[operation].steps.map((step) => ({ step })),
    changes: [
      {
        type: "VmInstanceVO",
        uuid,
        name: find(cloud, uuid).name ?? "",
        fields: [{ field: "state", from: find(cloud, uuid).state, to: MOVES[operation].to }],
      },
    ],
  });

/** Plans of the operations that the page asks about. */
export function vmPlanners(cloud: MockCloud): Planners {
  return {
    CreateVmInstance: (params, context) => planCreate(cloud, params, context),
    DestroyVmInstance: ({ uuid }) => planDestroy(cloud, uuid),
    StopVmInstance: planMove(cloud, "StopVmInstance"),
    RebootVmInstance: planMove(cloud, "RebootVmInstance"),
    ExpungeVmInstance: ({ uuid }) => ({
      summary: `Remove VM ${find(cloud, uuid).name} and its data for good`,
      steps: [
        { step: "DeleteVolumes", text: "Delete the root volume" },
        { step: "ReturnAddresses", text: "Give its addresses back" },
      ],
      deletes: [`VM instance ${find(cloud, uuid).name}`, "its root volume"],
    }),
  };
}
