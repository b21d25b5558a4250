import { CheckCircleFilled, CloseCircleFilled, LoadingOutlined } from "@ant-design/icons";
import { Button, Drawer, Empty, Progress, Segmented, Typography } from "antd";
import { useState } from "react";
import type { Run } from "../api/runs";
import { operationName } from "../components/actions";
import { ErrorDetails } from "../components/error-panel";
import { NameOf } from "../components/name-of";
import { isActive, RunList, useRuns } from "../components/runs";
import { runName, stepName } from "../components/words";
import { useT } from "../i18n";
import { formatDuration } from "../lib/format";
import { useStore } from "../lib/store";
import { clearFinished, type Task, tasks } from "./store";

/** What this page started, and what runs in the cloud. */
export function TasksDrawer({ open, onClose }: { open: boolean; onClose: () => void }) {
  const t = useT();
  const [shown, setShown] = useState<"mine" | "all">("mine");
  return (
    <Drawer title={t("tasks.title")} open={open} onClose={onClose} size={460} destroyOnHidden>
      <Segmented
        block
        value={shown}
        onChange={setShown}
        options={[
          { value: "mine", label: t("tasks.mine") },
          { value: "all", label: t("tasks.all") },
        ]}
      />
      <div className="tasks">{shown === "mine" ? <MyTasks /> : <RunList />}</div>
    </Drawer>
  );
}

function MyTasks() {
  const t = useT();
  const list = useStore(tasks);
  const runs = useRuns();
  if (list.length === 0) return <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t("tasks.empty")} />;
  return (
    <>
      <ul className="runs" aria-label={t("tasks.mine")}>
        {list.map((task) => (
          <TaskItem
            key={task.jobUuid}
            task={task}
            run={runs.data?.find((run) => run.jobUuid === task.jobUuid)}
          />
        ))}
      </ul>
      {list.some((task) => task.state !== "running") && (
        <Button type="link" onClick={clearFinished}>
          {t("tasks.clear")}
        </Button>
      )}
    </>
  );
}

const ICONS = {
  running: <LoadingOutlined className="icon-running" aria-hidden />,
  done: <CheckCircleFilled className="icon-done" aria-hidden />,
  failed: <CloseCircleFilled className="icon-failed" aria-hidden />,
};

function TaskItem({ task, run }: { task: Task; run: Run | undefined }) {
  const t = useT();
  return (
    <li className="run">
      <div className="run-head">
        {ICONS[task.state]}
        <strong>{operationName(t, task.operation)}</strong>
        <Typography.Text type="secondary">
          {task.name ?? (task.resourceUuid ? <NameOf uuid={task.resourceUuid} /> : "")}
        </Typography.Text>
        <span className="run-time">
          {t(`tasks.${task.state}`)}
          {task.endedAt !== undefined && ` · ${formatDuration(task.endedAt - task.startedAt)}`}
        </span>
      </div>
      {run && isActive(run) && (
        <div className="run-progress">
          <Progress
            percent={run.progress ?? 0}
            size="small"
            status="active"
            aria-label={runName(t, run.name)}
          />
          <span className="muted">{run.step && stepName(t, run.step)}</span>
        </div>
      )}
      {task.error && (
        <div className="run-error">
          <ErrorDetails error={task.error} />
        </div>
      )}
    </li>
  );
}
