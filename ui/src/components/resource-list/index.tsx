import { Button, Empty, Table, type TableProps } from "antd";
import { type ReactNode, useMemo, useState } from "react";
import { useT } from "../../i18n";
import { useNarrow } from "../../lib/use-narrow";
import { BatchActions, type Resource, RowActions } from "../actions";
import { ErrorPanel } from "../error-panel";
import { PageHeader } from "../page-header";
import type { ListSpec } from "./spec";
import { ListToolbar } from "./toolbar";
import { type ListChoice, PAGE_SIZES, useChoice, useRows } from "./use-list";

export { byField, byName, byUuid, type ListSpec } from "./spec";

type Columns<T> = NonNullable<TableProps<T>["columns"]>;

/** A list of resources: search, filter, sort, pages, actions, and rows that follow the event stream. */
export function ResourceList<T extends Resource>({
  spec,
  create,
}: {
  spec: ListSpec<T>;
  create?: ReactNode;
}) {
  const t = useT();
  const [choice, change] = useChoice(spec);
  const rows = useRows(spec, choice);
  const [selected, setSelected] = useState<string[]>([]);
  const narrow = useNarrow();
  const columns = useColumns(spec, choice, narrow);
  const page = rows.data;
  const chosen = (page?.rows ?? []).filter((row) => selected.includes(row.uuid));
  return (
    <>
      <PageHeader title={t(spec.title)} count={page?.total} extra={create} />
      <div className="card">
        <div className="list-bar">
          <ListToolbar
            spec={spec}
            choice={choice}
            onChange={change}
            onReload={rows.reload}
            loading={rows.loading}
          />
          {chosen.length > 0 && (
            <div className="batch-bar">
              <span>{t("list.selected", { count: chosen.length })}</span>
              <BatchActions resources={chosen} actions={spec.actions ?? []} />
            </div>
          )}
        </div>
        {rows.error !== undefined && (
          <div className="list-error">
            <ErrorPanel error={rows.error} title={t("list.loadFailed")} onRetry={rows.reload} />
          </div>
        )}
        <Table<T>
          rowKey="uuid"
          aria-label={t(spec.title)}
          columns={columns}
          dataSource={page?.rows ?? []}
          loading={rows.loading && !page}
          size="small"
          tableLayout="auto"
          scroll={{ x: narrow ? "max-content" : 900 }}
          locale={{
            emptyText: (
              <NoRows spec={spec} choice={choice} onClear={() => change({ text: "", filter: "" })} />
            ),
          }}
          rowSelection={
            spec.actions?.some((action) => action.batch)
              ? { selectedRowKeys: selected, onChange: (keys) => setSelected(keys.map(String)) }
              : undefined
          }
          pagination={{
            current: choice.page,
            pageSize: choice.size,
            total: page?.total ?? 0,
            pageSizeOptions: PAGE_SIZES,
            showSizeChanger: true,
            showTotal: (total, [from, to]) => t("list.total", { from, to, total }),
          }}
          onChange={(pages, _, sorter, { action }) => {
            if (action === "paginate") {
              const resized = pages.pageSize !== choice.size;
              change(resized ? { size: pages.pageSize } : { page: pages.current });
            }
            if (action === "sort" && !Array.isArray(sorter))
              change({ sort: sortOf(sorter.columnKey, sorter.order, spec) });
          }}
        />
      </div>
    </>
  );
}

function sortOf<T extends Resource>(
  key: unknown,
  order: string | null | undefined,
  spec: ListSpec<T>,
): string {
  const field = spec.columns.find((column) => column.key === key)?.sort;
  if (!field || !order) return spec.sort;
  return order === "descend" ? `-${field}` : `+${field}`;
}

function useColumns<T extends Resource>(spec: ListSpec<T>, choice: ListChoice, narrow: boolean): Columns<T> {
  const t = useT();
  return useMemo(() => {
    const columns: Columns<T> = spec.columns.map((column) => ({
      key: column.key,
      title: t(column.title),
      ...(column.width ? { width: column.width } : {}),
      ...(column.wide ? { responsive: ["xl" as const] } : {}),
      ...(column.sort ? { sorter: true, sortOrder: orderOf(column.sort, choice.sort) } : {}),
      render: (_: unknown, row: T) => column.render(row),
    }));
    const { actions, rowActions } = spec;
    if (actions)
      columns.push({
        key: "actions",
        title: narrow ? "" : t("common.actions"),
        fixed: "right",
        width: narrow ? 44 : 60 + 32 * (rowActions?.length ?? 0),
        render: (_: unknown, row: T) => (
          <RowActions resource={row} actions={actions} shown={rowActions ?? []} menuOnly={narrow} />
        ),
      });
    return columns;
  }, [spec, choice.sort, narrow, t]);
}

function orderOf(field: string, sort: string): "ascend" | "descend" | null {
  if (sort === `-${field}`) return "descend";
  return sort === `+${field}` || sort === field ? "ascend" : null;
}

function NoRows<T extends Resource>({
  spec,
  choice,
  onClear,
}: {
  spec: ListSpec<T>;
  choice: ListChoice;
  onClear: () => void;
}) {
  const t = useT();
  const searched = choice.text !== "" || choice.filter !== "";
  return (
    <Empty
      image={Empty.PRESENTED_IMAGE_SIMPLE}
      description={searched ? t("list.emptyFiltered") : t(spec.empty ?? "list.empty")}
    >
      {searched && <Button onClick={onClear}>{t("list.clear")}</Button>}
    </Empty>
  );
}
