import { SyncOutlined } from "@ant-design/icons";
import { Tooltip } from "antd";
import { isMessageKey, useT } from "../i18n";

const GOOD = new Set(["Running", "Connected", "Enabled", "Ready", "Done"]);
const BAD = new Set(["Error", "Unknown", "Disconnected", "Failed", "Stuck"]);
const WARN = new Set(["Paused", "Maintenance", "PreMaintenance", "Destroyed", "Deleted", "Undoing"]);

/** A state whose name says that something is at work. A running VM is at rest, a running workflow is not. */
const isMoving = (state: string, run: boolean) => /ing$/.test(state) && (run || state !== "Running");

function toneOf(state: string, run: boolean): string {
  if (BAD.has(state)) return "bad";
  if (WARN.has(state)) return "warn";
  if (isMoving(state, run)) return "moving";
  return GOOD.has(state) ? "good" : "rest";
}

/** A state in the reader's language, with a colour and a turning wheel while it is on its way to another. */
export function StateTag({
  state,
  reason,
  run = false,
}: {
  state: string | undefined;
  reason?: string | undefined;
  run?: boolean;
}) {
  const t = useT();
  if (!state) return <span>–</span>;
  const key = `${run ? "run" : "state"}.${state}`;
  const tag = (
    <span className={`state state-${toneOf(state, run)}`} data-state={state}>
      {isMoving(state, run) ? <SyncOutlined spin aria-hidden /> : <i aria-hidden />}
      {isMessageKey(key) ? t(key as "state.Running") : state}
    </span>
  );
  return reason ? <Tooltip title={reason}>{tag}</Tooltip> : tag;
}
