import { ArrowRightOutlined, DeleteOutlined, EditOutlined, PlusOutlined } from "@ant-design/icons";
import { Spin, Typography } from "antd";
import type { ReactNode } from "react";
import type { Plan, PlanChange, PlanItem } from "../api/call";
import { useNames } from "../api/names";
import { useLanguage, useT } from "../i18n";
import { formatDate } from "../lib/format";
import { stateName } from "./actions/action";
import { ErrorPanel } from "./error-panel";
import { entityName, fieldName, stepName } from "./words";

const UUIDS = /\b[0-9a-f]{32}\b/g;

/** Texts of a plan with names for uuids. What would come into being and has no name is told by its kind alone. */
function useReadable(plan: Plan): (text: string) => string {
  const own = new Map<string, string>();
  for (const item of [...(plan.creates ?? []), ...(plan.deletes ?? []), ...(plan.changes ?? [])])
    if (typeof item === "object" && item.uuid) own.set(item.uuid, item.name ?? "");
  const others = [...new Set(JSON.stringify(plan).match(UUIDS) ?? [])].filter((uuid) => !own.has(uuid));
  const nameOf = useNames(others);
  return (text) =>
    text
      .replace(UUIDS, (uuid) => own.get(uuid) ?? nameOf(uuid))
      .replace(/ {2,}/g, " ")
      .trim();
}

function Section({
  title,
  kind,
  icon,
  lines,
}: {
  title: string;
  kind: string;
  icon: ReactNode;
  lines: ReactNode[];
}) {
  if (lines.length === 0) return null;
  return (
    <section aria-label={title} className={`plan-items plan-${kind}`}>
      <Typography.Text strong>{title}</Typography.Text>
      <ul>
        {lines.map((line, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: two may read the same, the place is the identity
          <li key={at}>
            {icon} {line}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** A plan: what it would create, delete and change, and its steps with the reason of each. */
export function PlanView({ plan }: { plan: Plan }) {
  const t = useT();
  const readable = useReadable(plan);
  const steps = plan.steps ?? [];
  const { creates = [], deletes = [], changes = [] } = plan;
  const item = (one: PlanItem) =>
    typeof one === "string"
      ? readable(one)
      : [entityName(t, one.type), one.name, readable(one.text ?? "")].filter(Boolean).join(" ");
  const nothing = steps.length + creates.length + deletes.length + changes.length === 0;
  return (
    <section className="plan" aria-label={t("plan.title")}>
      {nothing && <Typography.Text type="secondary">{t("plan.nothing")}</Typography.Text>}
      <Section
        title={t("plan.deletes")}
        kind="deletes"
        icon={<DeleteOutlined aria-hidden />}
        lines={deletes.map(item)}
      />
      <Section
        title={t("plan.creates")}
        kind="creates"
        icon={<PlusOutlined aria-hidden />}
        lines={creates.map(item)}
      />
      <Section
        title={t("plan.changes")}
        kind="changes"
        icon={<EditOutlined aria-hidden />}
        lines={changes.map((one) => <Change key={one.uuid} change={one} readable={readable} />)}
      />
      {steps.length > 0 && (
        <ol className="plan-steps" aria-label={t("plan.steps")}>
          {steps.map((step, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a step may occur twice, its place is its identity
            <li key={at}>
              <div className="plan-step-text">{readable(step.text ?? "") || stepName(t, step.step)}</div>
              {step.why && (
                <Typography.Text type="secondary">
                  <ArrowRightOutlined aria-label={t("plan.why")} /> {readable(step.why)}
                </Typography.Text>
              )}
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

/** One resource that stays, and what becomes of its fields. */
function Change({ change, readable }: { change: PlanChange; readable: (text: string) => string }) {
  const t = useT();
  const language = useLanguage();
  const value = (of: unknown): string => {
    if (of === undefined || of === null || of === "") return "–";
    if (Array.isArray(of)) return of.map(value).join(", ");
    if (typeof of === "object") return "…";
    const text = String(of);
    if (/^\d{4}-\d{2}-\d{2}T/.test(text)) return formatDate(text, language);
    return readable(stateName(t, text));
  };
  return (
    <>
      {entityName(t, change.type)} {change.name}
      <ul className="plan-fields">
        {(change.fields ?? []).map(({ field, from, to }) => (
          <li key={field}>
            {fieldName(t, field)}: {value(from)} → {value(to)}
          </li>
        ))}
      </ul>
    </>
  );
}

/** A plan that is still being asked for, has come, or was refused. */
export function PlanResult({ plan, error }: { plan: Plan | undefined; error: unknown }) {
  const t = useT();
  if (error !== undefined) return <ErrorPanel error={error} title={t("plan.failed")} />;
  if (!plan)
    return (
      <div className="plan-waiting">
        <Spin size="small" /> {t("plan.asking")}
      </div>
    );
  return <PlanView plan={plan} />;
}
