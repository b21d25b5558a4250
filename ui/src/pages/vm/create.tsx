import { Form, Input, Select } from "antd";
import { createVmInstance, type L3NetworkInventory } from "../../api/generated";
import { FormSection, ResourceForm } from "../../components/resource-form";
import { useT } from "../../i18n";
import { formatBytes } from "../../lib/format";
import { imageChoices, networkChoices, offeringChoices, useChoices } from "./choices";
import { type CreateVmValues, isHostname, isSshKey, paramsOf, tagsOf } from "./create-request";
import { StaticIp } from "./static-ip";

/** The form that creates a VM. */
export function VmCreatePage() {
  const t = useT();
  const [form] = Form.useForm<CreateVmValues>();
  const options = (values: CreateVmValues) => ({ systemTags: tagsOf(values), resourceName: values.name });
  return (
    <ResourceForm<CreateVmValues>
      title="vm.create"
      submit="vm.create"
      listPath="/vms"
      listTitle="menu.vms"
      after="/vms"
      form={form}
      initial={{ l3NetworkUuids: [], staticIps: {} }}
      onSubmit={(values) => createVmInstance(paramsOf(values), options(values))}
      onPlan={(values) => createVmInstance.plan(paramsOf(values), options(values))}
    >
      <FormSection title={t("form.basics")}>
        <Basics />
      </FormSection>
      <FormSection title={t("form.network")}>
        <Networks />
      </FormSection>
      <FormSection title={t("form.guest")} help={t("form.guestHelp")}>
        <Guest />
      </FormSection>
    </ResourceForm>
  );
}

function useRules() {
  const t = useT();
  return {
    required: (field: string) => ({ required: true, message: t("common.required", { field }) }),
    max: (max: number) => ({ max, message: t("form.tooLong", { max }) }),
    check: (good: (text: string) => boolean, message: string) => ({
      validator: (_: unknown, text: string | undefined) =>
        !text?.trim() || good(text.trim()) ? Promise.resolve() : Promise.reject(new Error(message)),
    }),
  };
}

function Basics() {
  const t = useT();
  const rules = useRules();
  const offerings = useChoices(offeringChoices);
  const images = useChoices(imageChoices);
  return (
    <>
      <Form.Item
        name="name"
        label={t("common.name")}
        rules={[{ ...rules.required(t("common.name")), whitespace: true }, rules.max(255)]}
      >
        <Input autoFocus />
      </Form.Item>
      <Form.Item name="description" label={t("common.description")} rules={[rules.max(2048)]}>
        <Input />
      </Form.Item>
      <div className="form-row">
        <Form.Item
          name="instanceOfferingUuid"
          label={t("vm.offering")}
          rules={[rules.required(t("vm.offering"))]}
          help={offerings.help}
        >
          <Select
            {...offerings.select}
            options={offerings.rows.map((one) => ({
              value: one.uuid,
              label: one.name,
              hint: `${t("vm.cores", { count: one.cpuNum ?? 0 })} · ${formatBytes(one.memorySize)}`,
            }))}
          />
        </Form.Item>
        <Form.Item
          name="imageUuid"
          label={t("vm.image")}
          rules={[rules.required(t("vm.image"))]}
          help={images.help}
        >
          <Select
            {...images.select}
            options={images.rows.map((one) => ({
              value: one.uuid,
              label: one.name,
              hint: [one.format, one.platform, formatBytes(one.size)].filter(Boolean).join(" · "),
            }))}
          />
        </Form.Item>
      </div>
    </>
  );
}

const rangeOf = (network: L3NetworkInventory) => network.ipRanges?.[0]?.networkCidr ?? "";

function Networks() {
  const t = useT();
  const rules = useRules();
  const networks = useChoices(networkChoices);
  const form = Form.useFormInstance<CreateVmValues>();
  const chosen = Form.useWatch("l3NetworkUuids", form) ?? [];
  const of = (uuid: string) => networks.rows.find((network) => network.uuid === uuid);
  return (
    <>
      <Form.Item
        name="l3NetworkUuids"
        label={t("form.networks")}
        rules={[rules.required(t("form.networks"))]}
        extra={t("form.networksHelp")}
        help={networks.help}
      >
        <Select
          {...networks.select}
          mode="multiple"
          options={networks.rows.map((one) => ({ value: one.uuid, label: one.name, hint: rangeOf(one) }))}
        />
      </Form.Item>
      {chosen.length > 1 && (
        <Form.Item
          name="defaultL3NetworkUuid"
          label={t("form.defaultNetwork")}
          extra={t("form.defaultNetworkHelp")}
        >
          <Select
            allowClear
            placeholder={of(chosen[0] ?? "")?.name}
            options={chosen.map((uuid) => ({ value: uuid, label: of(uuid)?.name ?? uuid }))}
          />
        </Form.Item>
      )}
      {chosen.map((uuid) => (
        <StaticIp key={uuid} networkUuid={uuid} networkName={of(uuid)?.name ?? uuid} />
      ))}
    </>
  );
}

function Guest() {
  const t = useT();
  const rules = useRules();
  return (
    <>
      <Form.Item
        name="hostname"
        label={t("form.hostname")}
        rules={[rules.max(253), rules.check(isHostname, t("form.hostnameInvalid"))]}
      >
        <Input autoComplete="off" />
      </Form.Item>
      <Form.Item
        name="sshKey"
        label={t("form.sshKey")}
        rules={[rules.check(isSshKey, t("form.sshKeyInvalid"))]}
      >
        <Input.TextArea
          autoSize={{ minRows: 2, maxRows: 6 }}
          className="mono"
          placeholder="ssh-ed25519 AAAA…"
        />
      </Form.Item>
      <Form.Item name="userData" label={t("form.userData")} extra={t("form.userDataHelp")}>
        <Input.TextArea autoSize={{ minRows: 3, maxRows: 14 }} className="mono" placeholder="#cloud-config" />
      </Form.Item>
    </>
  );
}
