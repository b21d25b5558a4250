import { type InstanceOfferingInventory, queryInstanceOffering } from "../api/generated";
import { DateText } from "../components/date-text";
import { NameCell } from "../components/name-cell";
import { byName, byUuid, type ListSpec, ResourceList } from "../components/resource-list";
import { StateTag } from "../components/state-tag";
import { formatBytes } from "../lib/format";

const spec: ListSpec<InstanceOfferingInventory> = {
  id: "instance-offerings",
  title: "menu.instanceOfferings",
  query: queryInstanceOffering,
  eventTypes: ["InstanceOfferingVO"],
  sort: "-createDate",
  search: [byName, byUuid],
  columns: [
    { key: "name", title: "common.name", sort: "name", render: (offering) => <NameCell of={offering} /> },
    {
      key: "state",
      title: "common.state",
      sort: "state",
      render: (offering) => <StateTag state={offering.state} />,
    },
    { key: "cpu", title: "vm.cpu", sort: "cpuNum", render: (offering) => offering.cpuNum },
    {
      key: "memory",
      title: "vm.memory",
      sort: "memorySize",
      render: (offering) => formatBytes(offering.memorySize),
    },
    {
      key: "created",
      title: "common.created",
      sort: "createDate",
      wide: true,
      render: (offering) => <DateText date={offering.createDate} />,
    },
  ],
};

export function InstanceOfferingListPage() {
  return <ResourceList spec={spec} />;
}
