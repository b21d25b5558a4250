import { ArrowRightOutlined, DeleteOutlined, EditOutlined, PlusOutlined } from "@ant-design/icons";
import { Spin, Typography } from "antd";
import type { ReactNode } from "react";
import type { Plan, PlanChange, PlanItem } from "../api/call";
import { useT } from "../i18n";
import { wordsOf } from "../lib/format";
import { ErrorPanel } from "./error-panel";

function itemText(item: PlanItem): string {
  if (typeof item === "string") return item;
  const type = item.type && wordsOf(item.type.replace(/VO$/, ""));
  return item.text || [type, item.name || item.uuid].filter(Boolean).join(" ");
}

function Items({
  title,
  items,
  icon,
  kind,
}: {
  title: string;
  items: PlanItem[] | undefined;
  icon: ReactNode;
  kind: string;
}) {
  if (!items?.length) return null;
  return (
    <section aria-label={title} className={`plan-items plan-${kind}`}>
      <Typography.Text strong>{title}</Typography.Text>
      <ul>
        {items.map((item) => (
          <li key={itemText(item)}>
            {icon} {itemText(item)}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** A value in a word; lists of whole objects are too long for that. */
function valueText(value: unknown): string {
  if (value === undefined || value === null) return "–";
  const list = Array.isArray(value) ? value : [value];
  return list.some((v) => typeof v === "object") ? "…" : list.join(", ") || "–";
}

function Changes({ title, changes }: { title: string; changes: PlanChange[] | undefined }) {
  if (!changes?.length) return null;
  return (
    <section aria-label={title} className="plan-items plan-changes">
      <Typography.Text strong>{title}</Typography.Text>
      <ul>
        {changes.map((change) => (
          <li key={change.uuid}>
            <EditOutlined aria-hidden /> {itemText(change)}
            <ul>
              {change.fields?.map(({ field, from, to }) => (
                <li key={field}>
                  {wordsOf(field)}: {valueText(from)} → {valueText(to)}
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** A plan: its summary, its steps with the reason of each, and what it would create, delete and change. */
export function PlanView({ plan }: { plan: Plan }) {
  const t = useT();
  const steps = plan.steps ?? [];
  return (
    <section className="plan" aria-label={t("plan.title")}>
      {plan.summary && <Typography.Paragraph strong>{plan.summary}</Typography.Paragraph>}
      {steps.length === 0 &&
        !plan.creates?.length &&
        !plan.deletes?.length &&
        !plan.changes?.length &&
        !plan.summary && <Typography.Text type="secondary">{t("plan.nothing")}</Typography.Text>}
      <Items
        title={t("plan.deletes")}
        items={plan.deletes}
        icon={<DeleteOutlined aria-hidden />}
        kind="deletes"
      />
      <Items
        title={t("plan.creates")}
        items={plan.creates}
        icon={<PlusOutlined aria-hidden />}
        kind="creates"
      />
      <Changes title={t("plan.changes")} changes={plan.changes} />
      {steps.length > 0 && (
        <ol className="plan-steps" aria-label={t("plan.steps")}>
          {steps.map((step, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a step may occur twice, its place is its identity
            <li key={at}>
              <div className="plan-step-text">{step.text || wordsOf(step.step)}</div>
              {step.why && (
                <Typography.Text type="secondary">
                  <ArrowRightOutlined aria-label={t("plan.why")} /> {step.why}
                </Typography.Text>
              )}
              <code className="plan-step-name">{step.step}</code>
            </li>
          ))}
        </ol>
      )}
    </section>
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
