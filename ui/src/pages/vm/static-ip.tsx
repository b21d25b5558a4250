import { AutoComplete, Form } from "antd";
import { useCallback, useEffect } from "react";
import { onChange } from "../../api/events";
import { getFreeIpOfL3Network } from "../../api/generated";
import { useT } from "../../i18n";
import { useLoad } from "../../lib/use-load";
import { isIp } from "./create-request";

const SUGGESTED = 20;

/** A wanted address on one network, with free ones to choose from. */
export function StaticIp({ networkUuid, networkName }: { networkUuid: string; networkName: string }) {
  const t = useT();
  const { data, reload } = useLoad(
    useCallback(
      async (signal: AbortSignal) =>
        (await getFreeIpOfL3Network({ l3NetworkUuid: networkUuid, limit: SUGGESTED }, { signal }))
          .inventories ?? [],
      [networkUuid],
    ),
  );
  useEffect(() => onChange((event) => event.type === "VmNicVO" && reload()), [reload]);
  return (
    <Form.Item
      name={["staticIps", networkUuid]}
      label={t("form.staticIp", { network: networkName })}
      extra={t("form.staticIpHelp")}
      rules={[
        {
          validator: (_, text: string | undefined) =>
            !text?.trim() || isIp(text.trim())
              ? Promise.resolve()
              : Promise.reject(new Error(t("form.ipInvalid"))),
        },
      ]}
    >
      <AutoComplete
        allowClear
        placeholder={t("form.staticIpPlaceholder")}
        showSearch={{ filterOption: (typed, option) => String(option?.value ?? "").startsWith(typed) }}
        options={(data ?? []).map((free) => ({ value: free.ip }))}
      />
    </Form.Item>
  );
}
