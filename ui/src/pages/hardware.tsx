import {
  type ClusterInventory,
  type HostInventory,
  queryCluster,
  queryHost,
  queryZone,
  type ZoneInventory,
} from "../api/generated";
import { DateText } from "../components/date-text";
import { NameCell } from "../components/name-cell";
import { NameOf } from "../components/name-of";
import { byName, byUuid, type ListSpec, ResourceList } from "../components/resource-list";
import { byField } from "../components/resource-list/spec";
import { StateTag } from "../components/state-tag";
import { useT } from "../i18n";
import { formatBytes } from "../lib/format";

const zones: ListSpec<ZoneInventory> = {
  id: "zones",
  title: "menu.zones",
  query: queryZone,
  eventTypes: ["ZoneVO"],
  sort: "-createDate",
  search: [byName, byUuid],
  columns: [
    { key: "name", title: "common.name", sort: "name", render: (zone) => <NameCell of={zone} /> },
    { key: "state", title: "common.state", sort: "state", render: (zone) => <StateTag state={zone.state} /> },
    { key: "description", title: "common.description", render: (zone) => zone.description ?? "–" },
    {
      key: "created",
      title: "common.created",
      sort: "createDate",
      render: (zone) => <DateText date={zone.createDate} />,
    },
  ],
};

const clusters: ListSpec<ClusterInventory> = {
  id: "clusters",
  title: "menu.clusters",
  query: queryCluster,
  eventTypes: ["ClusterVO"],
  sort: "-createDate",
  search: [byName, byUuid],
  columns: [
    { key: "name", title: "common.name", sort: "name", render: (cluster) => <NameCell of={cluster} /> },
    {
      key: "state",
      title: "common.state",
      sort: "state",
      render: (cluster) => <StateTag state={cluster.state} />,
    },
    { key: "hypervisor", title: "common.hypervisor", render: (cluster) => cluster.hypervisorType ?? "–" },
    { key: "zone", title: "common.zone", render: (cluster) => <NameOf uuid={cluster.zoneUuid} /> },
    {
      key: "created",
      title: "common.created",
      sort: "createDate",
      render: (cluster) => <DateText date={cluster.createDate} />,
    },
  ],
};

function Capacity({
  available,
  total,
  show,
}: {
  available?: number;
  total?: number;
  show: (amount: number) => string;
}) {
  const t = useT();
  if (available === undefined || total === undefined) return <>–</>;
  return (
    <span className="nowrap">{t("host.capacity", { available: show(available), total: show(total) })}</span>
  );
}

const hosts: ListSpec<HostInventory> = {
  id: "hosts",
  title: "menu.hosts",
  query: queryHost,
  eventTypes: ["HostVO", "KVMHostVO"],
  sort: "-createDate",
  search: [byName, byUuid, byField("ip", "host.managementIp", "managementIp")],
  filter: { field: "status", title: "common.status", values: ["Connected", "Connecting", "Disconnected"] },
  columns: [
    { key: "name", title: "common.name", sort: "name", render: (host) => <NameCell of={host} /> },
    {
      key: "status",
      title: "common.status",
      sort: "status",
      render: (host) => <StateTag state={host.status} />,
    },
    { key: "state", title: "common.state", sort: "state", render: (host) => <StateTag state={host.state} /> },
    {
      key: "ip",
      title: "host.managementIp",
      sort: "managementIp",
      render: (host) => host.managementIp ?? "–",
    },
    {
      key: "cpu",
      title: "host.cpu",
      render: (host) => (
        <Capacity available={host.availableCpuCapacity} total={host.totalCpuCapacity} show={String} />
      ),
    },
    {
      key: "memory",
      title: "host.memory",
      render: (host) => (
        <Capacity
          available={host.availableMemoryCapacity}
          total={host.totalMemoryCapacity}
          show={formatBytes}
        />
      ),
    },
    { key: "cluster", title: "common.cluster", render: (host) => <NameOf uuid={host.clusterUuid} /> },
  ],
};

export const ZoneListPage = () => <ResourceList key="zones" spec={zones} />;
export const ClusterListPage = () => <ResourceList key="clusters" spec={clusters} />;
export const HostListPage = () => <ResourceList key="hosts" spec={hosts} />;
