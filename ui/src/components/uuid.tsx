import { Tooltip, Typography } from "antd";
import { useT } from "../i18n";

/** A uuid to read and copy; `short` shows its end, which differs most among ids made one after another. */
export function Uuid({ uuid, short }: { uuid: string; short?: boolean }) {
  const t = useT();
  return (
    <Tooltip title={short ? uuid : undefined}>
      <Typography.Text
        className="uuid"
        copyable={{ text: uuid, tooltips: [t("common.copy"), t("common.copied")] }}
        type="secondary"
      >
        {short ? `…${uuid.slice(-8)}` : uuid}
      </Typography.Text>
    </Tooltip>
  );
}
