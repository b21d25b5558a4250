import { queryVmInstance } from "../../api/generated";
import { type DetailSpec, ResourceDetail } from "../../components/resource-detail";
import { RunList } from "../../components/runs";
import { useT } from "../../i18n";
import { vmActions } from "./actions";
import { VmBasics } from "./basics";
import { VM_EVENTS, type Vm } from "./model";
import { VmNics } from "./nics";
import { VmTags } from "./tags";
import { VmVolumes } from "./volumes";

function VmRuns({ uuid }: { uuid: string }) {
  const t = useT();
  return (
    <>
      <p className="muted">{t("run.help")}</p>
      <RunList resourceUuid={uuid} />
    </>
  );
}

const spec: DetailSpec<Vm> = {
  query: queryVmInstance,
  eventTypes: VM_EVENTS,
  listPath: "/vms",
  listTitle: "menu.vms",
  actions: vmActions,
  headerActions: [
    "StartVmInstance",
    "StopVmInstance",
    "RebootVmInstance",
    "RequestConsoleAccess",
    "DestroyVmInstance",
  ],
  tabs: [
    { key: "basics", title: "vm.tabBasics", render: (vm) => <VmBasics vm={vm} /> },
    {
      key: "nics",
      title: "vm.tabNics",
      count: (vm) => vm.vmNics?.length ?? 0,
      render: (vm) => <VmNics vm={vm} />,
    },
    {
      key: "volumes",
      title: "vm.tabVolumes",
      count: (vm) => vm.allVolumes?.length ?? 0,
      render: (vm) => <VmVolumes vm={vm} />,
    },
    { key: "tags", title: "vm.tabTags", render: (vm) => <VmTags vm={vm} /> },
    { key: "runs", title: "vm.tabRuns", render: (vm) => <VmRuns uuid={vm.uuid} /> },
  ],
};

export function VmDetailPage() {
  return <ResourceDetail spec={spec} />;
}
