import { Table, Tag } from "antd";
import type { VmNicInventory } from "../../api/generated";
import { NameOf } from "../../components/name-of";
import { useT } from "../../i18n";
import type { Vm } from "./model";

export function VmNics({ vm }: { vm: Vm }) {
  const t = useT();
  return (
    <Table<VmNicInventory>
      rowKey="uuid"
      size="middle"
      pagination={false}
      aria-label={t("vm.tabNics")}
      dataSource={vm.vmNics ?? []}
      locale={{ emptyText: t("nic.empty") }}
      scroll={{ x: "max-content" }}
      columns={[
        { title: t("nic.device"), render: (_, nic) => nic.deviceId ?? "–" },
        {
          title: t("nic.network"),
          render: (_, nic) => (
            <>
              <NameOf uuid={nic.l3NetworkUuid} />{" "}
              {nic.l3NetworkUuid === vm.defaultL3NetworkUuid && (
                <Tag color="success">{t("nic.isDefault")}</Tag>
              )}
            </>
          ),
        },
        { title: t("vm.ip"), render: (_, nic) => nic.ip ?? "–" },
        { title: t("nic.mac"), render: (_, nic) => <code>{nic.mac ?? "–"}</code> },
        { title: t("nic.netmask"), render: (_, nic) => nic.netmask ?? "–" },
        { title: t("nic.gateway"), render: (_, nic) => nic.gateway ?? "–" },
      ]}
    />
  );
}
