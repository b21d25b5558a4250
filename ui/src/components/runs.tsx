import { CheckCircleFilled, CloseCircleFilled, LoadingOutlined } from "@ant-design/icons";
import { App, Button, Empty, Popconfirm, Progress, Space, Typography } from "antd";
import { useCallback, useEffect, useState } from "react";
import { errorBody } from "../api/error";
import { onChange, onGap } from "../api/events";
import { abandonRun, cancelRun, retryRun } from "../api/generated";
import { RUN_EVENT, type Run, readRuns } from "../api/runs";
import { useLanguage, useT } from "../i18n";
import { formatDate, formatDuration, parseDate } from "../lib/format";
import { useLoad, useThrottled } from "../lib/use-load";
import { ErrorDetails, ErrorPanel } from "./error-panel";
import { NameOf } from "./name-of";
import { StateTag } from "./state-tag";
import { runName, stepName } from "./words";

const SHOWN = 30;
const RELOAD_MS = 250;

/** Runs of workflows, newest first, live. With a resource only its own, else those that no other run started. */
export function useRuns(resourceUuid?: string) {
  const loaded = useLoad(
    useCallback(
      (signal: AbortSignal) =>
        readRuns([resourceUuid ? `resourceUuid=${resourceUuid}` : "parentUuid is null"], SHOWN, signal),
      [resourceUuid],
    ),
  );
  const { patch } = loaded;
  const reloadSoon = useThrottled(loaded.reload, RELOAD_MS);
  useEffect(
    () =>
      onChange((event) => {
        if (event.type !== RUN_EVENT) return;
        patch((runs) => runs.map((run) => (run.uuid === event.uuid ? changed(run, event.data) : run)));
        if (!resourceUuid || event.data?.resourceUuid === resourceUuid) reloadSoon();
      }),
    [resourceUuid, patch, reloadSoon],
  );
  useEffect(() => onGap(reloadSoon), [reloadSoon]);
  return loaded;
}

/** A run after an event. The event names the workflow, not the run, so the name stays. */
const changed = (run: Run, data: Record<string, unknown> = {}): Run => ({ ...run, ...data, name: run.name });

export const isActive = (run: Run) => run.state === "Running" || run.state === "Undoing";

/** The list of runs, with the steps of those that are under way or went wrong. */
export function RunList({ resourceUuid }: { resourceUuid?: string }) {
  const t = useT();
  const runs = useRuns(resourceUuid);
  if (runs.error !== undefined && !runs.data) return <ErrorPanel error={runs.error} onRetry={runs.reload} />;
  if (runs.data?.length === 0)
    return <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t("run.empty")} />;
  return (
    <ul className="runs" aria-label={t("vm.tabRuns")}>
      {(runs.data ?? []).map((run) => (
        <RunItem key={run.uuid} run={run} showResource={resourceUuid === undefined} />
      ))}
    </ul>
  );
}

/** The runs under way on a resource; nothing when there are none. */
export function ActiveRuns({ resourceUuid }: { resourceUuid: string }) {
  const t = useT();
  const active = (useRuns(resourceUuid).data ?? []).filter((run) => isActive(run) || run.state === "Stuck");
  if (active.length === 0) return null;
  return (
    <ul className="runs active-runs" aria-label={t("run.now")}>
      {active.map((run) => (
        <RunItem key={run.uuid} run={run} showResource={false} />
      ))}
    </ul>
  );
}

function RunItem({ run, showResource }: { run: Run; showResource: boolean }) {
  const t = useT();
  const language = useLanguage();
  const open = run.state !== "Done";
  return (
    <li className="run" data-state={run.state}>
      <div className="run-head">
        <strong>{runName(t, run.name)}</strong>
        {showResource && run.resourceUuid && (
          <Typography.Text type="secondary">
            <NameOf uuid={run.resourceUuid} />
          </Typography.Text>
        )}
        <StateTag run state={run.state} />
        <span className="run-time">
          {formatDate(run.createDate, language)}
          {isActive(run) && <Elapsed since={run.createDate} />}
        </span>
      </div>
      {isActive(run) && <RunProgress run={run} />}
      {open && (run.steps?.length ?? 0) > 0 && <RunSteps run={run} />}
      <RunVerbs run={run} />
      {run.error && (
        <div className="run-error" role="alert">
          <ErrorDetails error={run.error} />
        </div>
      )}
    </li>
  );
}

const VERBS = [
  { name: "cancel", verb: cancelRun },
  { name: "retry", verb: retryRun },
  { name: "abandon", verb: abandonRun },
] as const;

/** What the server lets one do to a run: cancel it at work, retry or abandon it when it is stuck. */
function RunVerbs({ run }: { run: Run }) {
  const t = useT();
  const { notification } = App.useApp();
  const verbs = VERBS.filter(({ verb }) => run.allowedActions?.includes(verb.spec.name));
  if (verbs.length === 0) return null;
  const call = async (verb: (typeof VERBS)[number]["verb"]) => {
    try {
      await verb({ uuid: run.uuid });
    } catch (thrown) {
      const error = errorBody(thrown);
      notification.error({
        title: error.description,
        description: <ErrorDetails error={error} />,
        role: "alert",
      });
    }
  };
  return (
    <Space className="run-verbs">
      {verbs.map(({ name, verb }) => (
        <Popconfirm
          key={name}
          title={t(`run.${name}`)}
          description={t(`run.${name}Help`)}
          okText={t(`run.${name}`)}
          cancelText={t("common.close")}
          onConfirm={() => call(verb)}
        >
          <Button size="small" danger={name !== "retry"}>
            {t(`run.${name}`)}
          </Button>
        </Popconfirm>
      ))}
    </Space>
  );
}

function Elapsed({ since }: { since: string | undefined }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const start = parseDate(since);
  return start ? <> · {formatDuration(now - start.getTime())}</> : null;
}

function stepAt(run: Run): number {
  return Math.max(0, (run.steps ?? []).indexOf(run.step ?? ""));
}

function RunProgress({ run }: { run: Run }) {
  const t = useT();
  const total = run.steps?.length ?? 0;
  const percent = run.progress ?? (total ? Math.round((stepAt(run) / total) * 100) : undefined);
  return (
    <div className="run-progress">
      <Progress
        percent={percent ?? 0}
        size="small"
        status={run.state === "Undoing" ? "exception" : "active"}
        format={() => (percent === undefined ? "" : `${percent} %`)}
        aria-label={runName(t, run.name)}
      />
      {total > 0 && <span className="muted">{t("run.step", { done: stepAt(run) + 1, total })}</span>}
    </div>
  );
}

function RunSteps({ run }: { run: Run }) {
  const t = useT();
  const at = stepAt(run);
  const broken = run.state === "Failed" || run.state === "Stuck" || run.state === "Undoing";
  return (
    <>
      <ol className="run-steps">
        {run.steps?.map((step, index) => {
          const kind = index < at ? "done" : index > at ? "todo" : broken ? "broken" : "now";
          return (
            <li key={step} className={`step-${kind}`} aria-current={kind === "now" ? "step" : undefined}>
              {kind === "done" && <CheckCircleFilled aria-hidden />}
              {kind === "now" && <LoadingOutlined aria-hidden />}
              {kind === "broken" && <CloseCircleFilled aria-hidden />}
              {stepName(t, step)}
            </li>
          );
        })}
      </ol>
      {run.state === "Stuck" && <p className="run-stuck">{t("run.stuckHelp")}</p>}
    </>
  );
}
