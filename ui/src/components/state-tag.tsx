import { SyncOutlined } from "@ant-design/icons";
import { Tag } from "antd";
import { isMessageKey, useT } from "../i18n";

const GOOD = new Set(["Running", "Connected", "Enabled", "Ready", "Done"]);
const BAD = new Set(["Error", "Unknown", "Disconnected", "Failed", "Stuck"]);
const WARN = new Set(["Paused", "Maintenance", "PreMaintenance", "Destroyed", "Undoing"]);
/** States that something is working on. */
const MOVING = /ing$/;
const MOVES_NOT = new Set(["Running"]);

function colorOf(state: string): string {
  if (GOOD.has(state)) return "success";
  if (BAD.has(state)) return "error";
  if (WARN.has(state)) return "warning";
  return MOVING.test(state) ? "processing" : "default";
}

/** A state in the reader's language, with a colour and a turning wheel while it is on its way to another. */
export function StateTag({ state, run }: { state: string | undefined; run?: boolean }) {
  const t = useT();
  if (!state) return <span>–</span>;
  const key = `${run ? "run" : "state"}.${state}`;
  const moving = MOVING.test(state) && (run || !MOVES_NOT.has(state));
  return (
    <Tag
      color={run && state === "Running" ? "processing" : colorOf(state)}
      icon={moving ? <SyncOutlined spin aria-hidden /> : undefined}
      data-state={state}
    >
      {isMessageKey(key) ? t(key as "state.Running") : state}
    </Tag>
  );
}
