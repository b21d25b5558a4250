import { Table, Tag } from "antd";
import type { VolumeInventory } from "../../api/generated";
import { NameCell } from "../../components/name-cell";
import { NameOf } from "../../components/name-of";
import { StateTag } from "../../components/state-tag";
import { useT } from "../../i18n";
import { formatBytes } from "../../lib/format";
import type { Vm } from "./model";

export function VmVolumes({ vm }: { vm: Vm }) {
  const t = useT();
  return (
    <Table<VolumeInventory>
      rowKey="uuid"
      size="middle"
      pagination={false}
      aria-label={t("vm.tabVolumes")}
      dataSource={vm.allVolumes ?? []}
      locale={{ emptyText: t("volume.empty") }}
      scroll={{ x: "max-content" }}
      columns={[
        {
          title: t("common.name"),
          render: (_, volume) => <NameCell of={volume} />,
        },
        {
          title: t("common.type"),
          render: (_, volume) => <Tag>{volume.type === "Root" ? t("volume.root") : t("volume.data")}</Tag>,
        },
        { title: t("common.status"), render: (_, volume) => <StateTag state={volume.status} /> },
        { title: t("common.size"), render: (_, volume) => formatBytes(volume.size) },
        { title: t("volume.actualSize"), render: (_, volume) => formatBytes(volume.actualSize) },
        { title: t("common.format"), render: (_, volume) => volume.format ?? "–" },
        {
          title: t("volume.primaryStorage"),
          render: (_, volume) => <NameOf uuid={volume.primaryStorageUuid} />,
        },
      ]}
    />
  );
}
