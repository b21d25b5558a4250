import { LeftOutlined } from "@ant-design/icons";
import { Result, Skeleton, Tabs } from "antd";
import type { ReactNode } from "react";
import { Link, useParams, useSearchParams } from "react-router";
import type { QueryOperation } from "../../api/query";
import { type TitleKey, useT } from "../../i18n";
import { HeaderActions, type Resource, type ResourceAction } from "../actions";
import { ErrorPanel } from "../error-panel";
import { LinkButton } from "../link-button";
import { PageHeader } from "../page-header";
import { StateTag } from "../state-tag";
import { Uuid } from "../uuid";
import { useResource } from "./use-resource";

export { Fields } from "./fields";
export { InlineText } from "./inline-text";

export interface DetailTab<T> {
  key: string;
  title: TitleKey;
  count?(resource: T): number;
  render(resource: T, reload: () => void): ReactNode;
}

/** Everything that makes one detail page different from another. */
export interface DetailSpec<T extends Resource> {
  query: QueryOperation<T>;
  eventTypes: readonly string[];
  listPath: string;
  listTitle: TitleKey;
  tabs: DetailTab<T>[];
  actions: readonly ResourceAction<T>[];
  /** Operations with a button of their own. */
  headerActions: readonly string[];
}

/** The page of one resource: name, state, actions, tabs. The open tab is in the address. */
export function ResourceDetail<T extends Resource>({ spec }: { spec: DetailSpec<T> }) {
  const { uuid = "" } = useParams();
  const t = useT();
  const { data, error, reload } = useResource(spec.query, uuid, spec.eventTypes);
  const back = (
    <Link className="back" to={spec.listPath}>
      <LeftOutlined aria-hidden /> {t(spec.listTitle)}
    </Link>
  );
  if (data && data.uuid === uuid) return <Shown spec={spec} resource={data} reload={reload} above={back} />;
  if (error !== undefined)
    return <ErrorPanel error={error} title={t("detail.loadFailed")} onRetry={reload} />;
  if (data === null)
    return (
      <Result
        status="404"
        title={t("detail.notFound")}
        subTitle={<code>{uuid}</code>}
        extra={
          <LinkButton to={spec.listPath} type="primary">
            {t("common.back")}
          </LinkButton>
        }
      />
    );
  return <Skeleton active aria-label={t("app.loading")} />;
}

function Shown<T extends Resource>(props: {
  spec: DetailSpec<T>;
  resource: T;
  reload: () => void;
  above: ReactNode;
}) {
  const { spec, resource, reload } = props;
  const t = useT();
  const [search, setSearch] = useSearchParams();
  const tab = search.get("tab") ?? spec.tabs[0]?.key ?? "";
  return (
    <>
      <PageHeader
        above={props.above}
        windowTitle={resource.name ?? resource.uuid}
        title={
          <span className="detail-title">
            {resource.name ?? resource.uuid} <StateTag state={resource.state} />
          </span>
        }
        extra={<HeaderActions resource={resource} actions={spec.actions} shown={spec.headerActions} />}
      />
      <div className="detail-uuid">
        <Uuid uuid={resource.uuid} />
      </div>
      <div className="card card-tabs">
        <Tabs
          activeKey={tab}
          onChange={(key) => setSearch({ tab: key }, { replace: true })}
          items={spec.tabs.map((one) => ({
            key: one.key,
            label: (
              <>
                {t(one.title)}
                {one.count && <span className="tab-count">{one.count(resource)}</span>}
              </>
            ),
            children: one.render(resource, reload),
          }))}
        />
      </div>
    </>
  );
}
