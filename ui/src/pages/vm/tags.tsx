import { PlusOutlined } from "@ant-design/icons";
import { Button, Form, Input, Space, Tag, Typography } from "antd";
import { useCallback, useEffect, useState } from "react";
import { onChange } from "../../api/events";
import {
  createUserTag,
  deleteTag,
  querySystemTag,
  queryUserTag,
  type SystemTagInventory,
  type UserTagInventory,
} from "../../api/generated";
import { ErrorPanel } from "../../components/error-panel";
import { useT } from "../../i18n";
import { useLoad } from "../../lib/use-load";
import type { Vm } from "./model";

function useTags(uuid: string) {
  const loaded = useLoad(
    useCallback(
      async (signal: AbortSignal) => {
        const query = { q: [`resourceUuid=${uuid}`], sort: "+tag" };
        const [user, system] = await Promise.all([
          queryUserTag(query, { signal }),
          querySystemTag(query, { signal }),
        ]);
        return { user: user.inventories ?? [], system: system.inventories ?? [] };
      },
      [uuid],
    ),
  );
  const { reload } = loaded;
  useEffect(() => onChange((event) => event.type.endsWith("TagVO") && reload()), [reload]);
  return loaded;
}

/** User tags to add and remove, system tags to read. */
export function VmTags({ vm }: { vm: Vm }) {
  const t = useT();
  const { data, error, reload } = useTags(vm.uuid);
  const [failure, setFailure] = useState<unknown>();
  const change = async (work: Promise<unknown>) => {
    setFailure(undefined);
    await work.catch(setFailure);
    reload();
  };
  if (error !== undefined && !data) return <ErrorPanel error={error} onRetry={reload} />;
  const named = vm.name ? { resourceName: vm.name } : {};
  return (
    <>
      <Typography.Title level={3}>{t("tag.user")}</Typography.Title>
      <p className="muted">{t("tag.userHelp")}</p>
      <UserTags
        tags={data?.user ?? []}
        onRemove={(tag) => change(deleteTag({ uuid: tag.uuid }, named))}
        onAdd={(tag) =>
          change(createUserTag({ resourceType: "VmInstanceVO", resourceUuid: vm.uuid, tag }, named))
        }
      />
      {failure !== undefined && <ErrorPanel error={failure} />}
      <Typography.Title level={3}>{t("tag.system")}</Typography.Title>
      <p className="muted">{t("tag.systemHelp")}</p>
      <SystemTags tags={data?.system ?? []} />
    </>
  );
}

interface UserTagsProps {
  tags: UserTagInventory[];
  onAdd: (tag: string) => Promise<void>;
  onRemove: (tag: UserTagInventory) => Promise<void>;
}

function UserTags({ tags, onAdd, onRemove }: UserTagsProps) {
  const t = useT();
  const [form] = Form.useForm<{ tag: string }>();
  return (
    <Space wrap className="tags">
      {tags.length === 0 && <span className="muted">{t("tag.noneUser")}</span>}
      {tags.map((tag) => (
        <Tag
          key={tag.uuid}
          color="success"
          closable={{ "aria-label": t("tag.remove", { tag: tag.tag ?? "" }) }}
          onClose={(event) => {
            event.preventDefault();
            void onRemove(tag);
          }}
        >
          {tag.tag}
        </Tag>
      ))}
      <Form
        form={form}
        layout="inline"
        onFinish={async ({ tag }) => {
          await onAdd(tag.trim());
          form.resetFields();
        }}
      >
        <Space.Compact>
          <Form.Item name="tag" noStyle rules={[{ required: true, whitespace: true, message: "" }]}>
            <Input size="small" aria-label={t("tag.new")} placeholder={t("tag.new")} maxLength={1024} />
          </Form.Item>
          <Button size="small" htmlType="submit" icon={<PlusOutlined aria-hidden />}>
            {t("tag.add")}
          </Button>
        </Space.Compact>
      </Form>
    </Space>
  );
}

function SystemTags({ tags }: { tags: SystemTagInventory[] }) {
  const t = useT();
  if (tags.length === 0) return <span className="muted">{t("tag.noneSystem")}</span>;
  return (
    <ul className="system-tags">
      {tags.map((tag) => (
        <li key={tag.uuid}>
          <code>{tag.tag}</code>
        </li>
      ))}
    </ul>
  );
}
