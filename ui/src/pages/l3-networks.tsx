import { type L3NetworkInventory, queryL3Network } from "../api/generated";
import { NameCell } from "../components/name-cell";
import { NameOf } from "../components/name-of";
import { byName, byUuid, type ListSpec, ResourceList } from "../components/resource-list";
import { StateTag } from "../components/state-tag";

function ranges(network: L3NetworkInventory) {
  return (network.ipRanges ?? []).map((range) => (
    <div key={range.uuid} className="nowrap">
      {range.startIp} – {range.endIp} <span className="muted">{range.networkCidr}</span>
    </div>
  ));
}

const spec: ListSpec<L3NetworkInventory> = {
  id: "l3-networks",
  title: "menu.l3Networks",
  query: queryL3Network,
  eventTypes: ["L3NetworkVO", "IpRangeVO"],
  sort: "-createDate",
  search: [byName, byUuid],
  columns: [
    { key: "name", title: "common.name", sort: "name", render: (network) => <NameCell of={network} /> },
    {
      key: "state",
      title: "common.state",
      sort: "state",
      render: (network) => <StateTag state={network.state} />,
    },
    { key: "ranges", title: "l3.ranges", render: ranges },
    { key: "dns", title: "l3.dns", render: (network) => (network.dns ?? []).join(", ") || "–" },
    {
      key: "services",
      title: "l3.services",
      render: (network) =>
        (network.networkServices ?? []).map((one) => one.networkServiceType).join(", ") || "–",
    },
    { key: "zone", title: "common.zone", render: (network) => <NameOf uuid={network.zoneUuid} /> },
  ],
};

export function L3NetworkListPage() {
  return <ResourceList spec={spec} />;
}
