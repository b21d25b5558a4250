import { Alert } from "antd";
import { updateVmInstance } from "../../api/generated";
import { whyNot } from "../../components/actions";
import { DateText } from "../../components/date-text";
import { NameOf } from "../../components/name-of";
import { Fields, InlineText } from "../../components/resource-detail";
import { ActiveRuns } from "../../components/runs";
import { StateTag } from "../../components/state-tag";
import { useT } from "../../i18n";
import { formatBytes } from "../../lib/format";
import { vmActions } from "./actions";
import { addressesOf, type Vm } from "./model";

/** Basic attributes of a VM; name and description are changed in place. */
export function VmBasics({ vm }: { vm: Vm }) {
  const t = useT();
  const update = (change: { name?: string; description?: string }) =>
    updateVmInstance({ uuid: vm.uuid, ...change }, vm.name ? { resourceName: vm.name } : {});
  const reason = whyNot(t, vm, { operation: "UpdateVmInstance" }, vmActions);
  return (
    <>
      {vm.stateReason && <Alert type="warning" showIcon title={vm.stateReason} className="state-reason" />}
      <ActiveRuns resourceUuid={vm.uuid} />
      <Fields
        title={t("vm.general")}
        items={[
          [
            t("common.name"),
            <InlineText
              key="name"
              label={t("common.name")}
              value={vm.name ?? ""}
              required
              maxLength={255}
              reason={reason}
              onSave={(name) => update({ name })}
            />,
          ],
          [t("common.state"), <StateTag key="state" state={vm.state} />],
          [
            t("common.description"),
            <InlineText
              key="description"
              label={t("common.description")}
              value={vm.description ?? ""}
              maxLength={2048}
              reason={reason}
              onSave={(description) => update({ description })}
            />,
          ],
          [t("vm.ip"), addressesOf(vm).join(", ") || "–"],
          [t("common.created"), <DateText key="created" date={vm.createDate} />],
          [t("common.changed"), <DateText key="changed" date={vm.lastOpDate} />],
        ]}
      />
      <Fields
        title={t("vm.compute")}
        items={[
          [t("vm.cpu"), t("vm.cores", { count: vm.cpuNum ?? 0 })],
          [t("vm.memory"), formatBytes(vm.memorySize)],
          [t("vm.offering"), <NameOf key="offering" uuid={vm.instanceOfferingUuid} />],
          [t("vm.image"), <NameOf key="image" uuid={vm.imageUuid} />],
          [t("common.platform"), vm.platform ?? "–"],
          [t("vm.hypervisor"), vm.hypervisorType ?? "–"],
        ]}
      />
      <Fields
        title={t("vm.placement")}
        items={[
          [t("common.host"), <NameOf key="host" uuid={vm.hostUuid} />],
          [t("vm.lastHost"), <NameOf key="last" uuid={vm.lastHostUuid} />],
          [t("common.cluster"), <NameOf key="cluster" uuid={vm.clusterUuid} />],
          [t("common.zone"), <NameOf key="zone" uuid={vm.zoneUuid} />],
        ]}
      />
    </>
  );
}
