import { PlusOutlined } from "@ant-design/icons";
import { queryVmInstance } from "../../api/generated";
import { DateText } from "../../components/date-text";
import { LinkButton } from "../../components/link-button";
import { NameCell } from "../../components/name-cell";
import { NameOf } from "../../components/name-of";
import { byName, byUuid, type ListSpec, ResourceList } from "../../components/resource-list";
import { byField } from "../../components/resource-list/spec";
import { StateTag } from "../../components/state-tag";
import { useT } from "../../i18n";
import { formatBytes } from "../../lib/format";
import { vmActions } from "./actions";
import { addressesOf, VM_EVENTS, VM_STATES, type Vm } from "./model";

function Cores({ vm }: { vm: Vm }) {
  const t = useT();
  return (
    <>
      {t("vm.cores", { count: vm.cpuNum ?? 0 })} · {formatBytes(vm.memorySize)}
    </>
  );
}

const spec: ListSpec<Vm> = {
  id: "vms",
  title: "menu.vms",
  query: queryVmInstance,
  conditions: ["type=UserVm"],
  eventTypes: VM_EVENTS,
  sort: "-createDate",
  search: [
    byName,
    byUuid,
    byField("ip", "list.fieldIp", "vmNics.ip"),
    byField("hostIp", "list.fieldHostIp", "host.managementIp"),
    byField("tag", "list.fieldTag", "__userTag__"),
    byField("offering", "list.fieldOffering", "instanceOffering.name"),
  ],
  filter: { field: "state", title: "common.state", values: VM_STATES, hidden: "Destroyed" },
  columns: [
    {
      key: "name",
      title: "common.name",
      sort: "name",
      render: (vm) => <NameCell of={vm} to={`/vms/${vm.uuid}`} />,
    },
    {
      key: "state",
      title: "common.state",
      sort: "state",
      width: 130,
      render: (vm) => <StateTag state={vm.state} reason={vm.stateReason} />,
    },
    {
      key: "ip",
      title: "vm.ip",
      width: 140,
      render: (vm) => addressesOf(vm).map((ip) => <div key={ip}>{ip}</div>),
    },
    { key: "cpu", title: "vm.cpuMemory", sort: "memorySize", width: 150, render: (vm) => <Cores vm={vm} /> },
    { key: "host", title: "common.host", render: (vm) => <NameOf uuid={vm.hostUuid} /> },
    {
      key: "created",
      title: "common.created",
      sort: "createDate",
      wide: true,
      render: (vm) => <DateText date={vm.createDate} />,
    },
  ],
  actions: vmActions,
  rowActions: ["StartVmInstance", "StopVmInstance", "RequestConsoleAccess"],
  empty: "vm.empty",
};

export function VmListPage() {
  const t = useT();
  return (
    <ResourceList
      spec={spec}
      create={
        <LinkButton to="/vms/new" type="primary" icon={<PlusOutlined aria-hidden />}>
          {t("vm.create")}
        </LinkButton>
      }
    />
  );
}
