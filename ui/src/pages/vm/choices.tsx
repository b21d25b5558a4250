import type { SelectProps } from "antd";
import { useCallback } from "react";
import { errorBody } from "../../api/error";
import { queryImage, queryInstanceOffering, queryL3Network } from "../../api/generated";
import type { QueryOperation } from "../../api/query";
import { useT } from "../../i18n";
import { useLoad } from "../../lib/use-load";

interface Choices<T> {
  query: QueryOperation<T>;
  conditions: string[];
}

const of = <T,>(query: QueryOperation<T>, conditions: string[]): Choices<T> => ({ query, conditions });

export const offeringChoices = of(queryInstanceOffering, ["state=Enabled", "type=UserVm"]);
export const imageChoices = of(queryImage, ["state=Enabled", "status=Ready", "system=false"]);
export const networkChoices = of(queryL3Network, ["state=Enabled", "system=false"]);

/** How many are offered; a longer list is narrowed by typing. */
const OFFERED = 200;

/** The resources to choose from, and the properties of a `Select` for them. */
export function useChoices<T extends { uuid: string }>({ query, conditions }: Choices<T>) {
  const t = useT();
  const { data, error, loading } = useLoad(
    useCallback(
      async (signal: AbortSignal) =>
        (await query({ q: conditions, limit: OFFERED, sort: "+name" }, { signal })).inventories ?? [],
      [query, conditions],
    ),
  );
  const select: SelectProps = {
    loading,
    showSearch: { optionFilterProp: "label" },
    placeholder: t("form.choose"),
    notFoundContent: loading ? t("app.loading") : t("form.nothingToChoose"),
    optionRender: (option) => (
      <div className="option">
        <span>{option.label}</span>
        <span className="muted">{option.data.hint}</span>
      </div>
    ),
  };
  const failure = error === undefined ? undefined : errorBody(error);
  const none = data?.length === 0 ? t("form.noneUsable") : undefined;
  return { rows: data ?? [], select, help: failure ? (failure.details ?? failure.description) : none };
}
