import { GlobalOutlined, UnorderedListOutlined } from "@ant-design/icons";
import { Badge, Button, Dropdown, Layout, Space, Tooltip } from "antd";
import { useState } from "react";
import { streamState } from "../../api/events";
import { LANGUAGES, type Language, setLanguage, useLanguage, useT } from "../../i18n";
import { useStore } from "../../lib/store";
import { TasksDrawer } from "../../tasks/drawer";
import { tasks } from "../../tasks/store";
import { AccountMenu } from "./account-menu";

/** Live indicator, tasks, language and account. */
export function ShellHeader() {
  const t = useT();
  const [open, setOpen] = useState(false);
  const running = useStore(tasks).filter((task) => task.state === "running").length;
  return (
    <Layout.Header className="header">
      <StreamIndicator />
      <Space size={4}>
        <Badge count={running} size="small" offset={[-6, 6]}>
          <Button
            type="text"
            icon={<UnorderedListOutlined aria-hidden />}
            aria-label={t("tasks.open", { count: running })}
            onClick={() => setOpen(true)}
          >
            {t("tasks.title")}
          </Button>
        </Badge>
        <LanguageSwitch />
        <AccountMenu />
      </Space>
      <TasksDrawer open={open} onClose={() => setOpen(false)} />
    </Layout.Header>
  );
}

const STREAM_BADGE = { live: "success", connecting: "processing", offline: "warning" } as const;

function StreamIndicator() {
  const t = useT();
  const state = useStore(streamState);
  return (
    <Tooltip title={t(`stream.${state}Help`)} placement="bottomLeft">
      <span role="status" className="stream">
        <Badge status={STREAM_BADGE[state]} text={t(`stream.${state}`)} />
      </span>
    </Tooltip>
  );
}

/** Switches the language at once. Each language is named in itself. */
export function LanguageSwitch() {
  const t = useT();
  const chosen = useLanguage();
  return (
    <Dropdown
      trigger={["click"]}
      menu={{
        items: Object.entries(LANGUAGES).map(([key, label]) => ({
          key,
          label: <span lang={key}>{label}</span>,
        })),
        selectedKeys: [chosen],
        onClick: ({ key }) => setLanguage(key as Language),
      }}
    >
      <Button
        type="text"
        icon={<GlobalOutlined aria-hidden />}
        aria-label={`${t("app.language")}: ${LANGUAGES[chosen]}`}
      >
        {LANGUAGES[chosen]}
      </Button>
    </Dropdown>
  );
}
