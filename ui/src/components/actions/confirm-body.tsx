import { Typography } from "antd";
import { useCallback } from "react";
import { useT } from "../../i18n";
import { useLoad } from "../../lib/use-load";
import { PlanResult } from "../plan-view";
import type { Resource, ResourceAction } from "./action";

/** What is about to happen: the server's plan for one resource, the names of several. */
export function ConfirmBody<T extends Resource>(props: { action: ResourceAction<T>; resources: T[] }) {
  const [only] = props.resources;
  if (props.resources.length === 1 && only && props.action.plan)
    return <PlannedBody plan={props.action.plan} resource={only} />;
  return (
    <ul className="confirm-names">
      {props.resources.map((resource) => (
        <li key={resource.uuid}>{resource.name ?? resource.uuid}</li>
      ))}
    </ul>
  );
}

function PlannedBody<T extends Resource>({
  plan,
  resource,
}: {
  plan: NonNullable<ResourceAction<T>["plan"]>;
  resource: T;
}) {
  const t = useT();
  const asked = useLoad(useCallback(() => plan(resource), [plan, resource]));
  return (
    <>
      <Typography.Paragraph type="secondary">{t("confirm.help")}</Typography.Paragraph>
      <PlanResult plan={asked.data} error={asked.error} />
    </>
  );
}
