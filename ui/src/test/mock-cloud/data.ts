import type {
  ClusterInventory,
  HostInventory,
  ImageInventory,
  InstanceOfferingInventory,
  L3NetworkInventory,
  SystemTagInventory,
  UserTagInventory,
  ZoneInventory,
} from "../../api/generated";
import type { Run } from "../../api/runs";
import type { Vm } from "../../pages/vm/model";

/** A VM of the mock, with the joined fields that its queries may ask for. */
export type MockVm = Vm & { host?: { managementIp: string }; instanceOffering?: { name: string } };

/** All rows of a mock cloud. */
export interface MockData {
  vms: Map<string, MockVm>;
  offerings: InstanceOfferingInventory[];
  images: ImageInventory[];
  networks: L3NetworkInventory[];
  zones: ZoneInventory[];
  clusters: ClusterInventory[];
  hosts: HostInventory[];
  systemTags: SystemTagInventory[];
  userTags: UserTagInventory[];
  runs: Run[];
}

let last = 0;
/** A new uuid, in order of making. */
export function newUuid(): string {
  last += 1;
  return `0193500000007000800${last.toString(16).padStart(13, "0")}`;
}

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
export const at = (minutesAgo: number) => new Date(Date.now() - minutesAgo * 60_000).toISOString();

function topology() {
  const zone: ZoneInventory = {
    uuid: newUuid(),
    name: "zone-1",
    state: "Enabled",
    type: "zstack",
    description: "First room",
    createDate: at(9000),
  };
  const cluster: ClusterInventory = {
    uuid: newUuid(),
    name: "cluster-1",
    state: "Enabled",
    hypervisorType: "KVM",
    zoneUuid: zone.uuid,
    type: "zstack",
    createDate: at(8990),
  };
  const hosts = ["rack1-a", "rack1-b"].map(
    (name, index): HostInventory => ({
      uuid: newUuid(),
      name,
      zoneUuid: zone.uuid,
      clusterUuid: cluster.uuid,
      managementIp: `10.0.0.${11 + index}`,
      hypervisorType: "KVM",
      state: "Enabled",
      status: index === 0 ? "Connected" : "Connecting",
      totalCpuCapacity: 64,
      availableCpuCapacity: 52 - index,
      totalMemoryCapacity: 256 * GIB,
      availableMemoryCapacity: 190 * GIB,
      createDate: at(8900),
    }),
  );
  return { zone, cluster, hosts };
}

const offering = (name: string, cpuNum: number, memory: number): InstanceOfferingInventory => ({
  uuid: newUuid(),
  name,
  cpuNum,
  memorySize: memory,
  type: "UserVm",
  state: "Enabled",
  createDate: at(8000),
});

const image = (name: string, platform: string, size: number): ImageInventory => ({
  uuid: newUuid(),
  name,
  state: "Enabled",
  status: "Ready",
  mediaType: "RootVolumeTemplate",
  format: "qcow2",
  platform,
  size,
  actualSize: size,
  system: false,
  createDate: at(7000),
});

function network(name: string, zoneUuid: string, third: number): L3NetworkInventory {
  const uuid = newUuid();
  return {
    uuid,
    name,
    zoneUuid,
    type: "L3BasicNetwork",
    state: "Enabled",
    system: false,
    dns: ["10.0.0.2"],
    createDate: at(6000),
    ipRanges: [
      {
        uuid: newUuid(),
        l3NetworkUuid: uuid,
        startIp: `10.1.${third}.10`,
        endIp: `10.1.${third}.200`,
        netmask: "255.255.255.0",
        gateway: `10.1.${third}.1`,
        networkCidr: `10.1.${third}.0/24`,
      },
    ],
    networkServices: ["DHCP", "DNS", "Userdata"].map((networkServiceType) => ({ networkServiceType })),
  };
}

/** What a new VM is made from. */
export interface VmSeed {
  name: string;
  state: string;
  ip: string;
  age?: number;
  description?: string;
  uuid?: string;
  networks?: L3NetworkInventory[];
}

export function makeVm(data: Omit<MockData, "vms">, seed: VmSeed): MockVm {
  const uuid = seed.uuid ?? newUuid();
  const [offer, picture, host, primary] = [data.offerings[0], data.images[0], data.hosts[0], newUuid()];
  const networks = seed.networks ?? data.networks.slice(0, 1);
  const on = seed.state === "Stopped" ? undefined : host;
  return {
    uuid,
    name: seed.name,
    description: seed.description,
    state: seed.state,
    type: "UserVm",
    platform: "Linux",
    hypervisorType: "KVM",
    zoneUuid: data.zones[0]?.uuid,
    clusterUuid: data.clusters[0]?.uuid,
    hostUuid: on?.uuid,
    lastHostUuid: host?.uuid,
    imageUuid: picture?.uuid,
    instanceOfferingUuid: offer?.uuid,
    cpuNum: offer?.cpuNum,
    memorySize: offer?.memorySize,
    defaultL3NetworkUuid: networks[0]?.uuid,
    createDate: at(seed.age ?? 5),
    lastOpDate: at(seed.age ?? 5),
    host: { managementIp: host?.managementIp ?? "" },
    instanceOffering: { name: offer?.name ?? "" },
    vmNics: networks.map((net, deviceId) => ({
      uuid: newUuid(),
      vmInstanceUuid: uuid,
      l3NetworkUuid: net.uuid,
      deviceId,
      mac: `fa:00:5e:10:0${deviceId}:${uuid.slice(-2)}`,
      ip: deviceId === 0 ? seed.ip : `${net.ipRanges?.[0]?.startIp}`,
      netmask: "255.255.255.0",
      gateway: net.ipRanges?.[0]?.gateway,
    })),
    allVolumes: [
      {
        uuid: newUuid(),
        name: `ROOT-for-${seed.name}`,
        type: "Root",
        status: "Ready",
        state: "Enabled",
        size: 8 * GIB,
        actualSize: 412 * MIB,
        format: "qcow2",
        deviceId: 0,
        vmInstanceUuid: uuid,
        primaryStorageUuid: primary,
      },
    ],
  };
}

/** A small cloud with a few VMs, among them `hello`, which runs. */
export function sampleData(): MockData {
  const { zone, cluster, hosts } = topology();
  const rest = {
    zones: [zone],
    clusters: [cluster],
    hosts,
    offerings: [
      offering("small", 1, 512 * MIB),
      offering("medium", 2, 2 * GIB),
      offering("large", 8, 16 * GIB),
    ],
    images: [image("cairn-guest", "Linux", 180 * MIB), image("debian-12", "Linux", 2 * GIB)],
    networks: [network("flat-net", zone.uuid, 0), network("storage-net", zone.uuid, 1)],
    systemTags: [] as SystemTagInventory[],
    userTags: [] as UserTagInventory[],
    runs: [] as Run[],
  };
  const seeds: VmSeed[] = [
    { name: "hello", state: "Running", ip: "10.1.0.10", age: 3, description: "The first VM" },
    { name: "web-1", state: "Running", ip: "10.1.0.11", age: 190 },
    { name: "web-2", state: "Stopped", ip: "10.1.0.12", age: 200 },
    { name: "db-1", state: "Paused", ip: "10.1.0.13", age: 4000, networks: rest.networks },
    { name: "build-7", state: "Unknown", ip: "10.1.0.14", age: 5000 },
    { name: "old", state: "Destroyed", ip: "10.1.0.15", age: 8000 },
  ];
  return { ...rest, vms: new Map(seeds.map((seed) => makeVm(rest, seed)).map((vm) => [vm.uuid, vm])) };
}
