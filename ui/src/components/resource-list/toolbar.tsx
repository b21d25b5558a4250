import { ReloadOutlined } from "@ant-design/icons";
import { Button, Input, Select, Space, Tooltip } from "antd";
import { useEffect, useState } from "react";
import { useT } from "../../i18n";
import { type Resource, stateName } from "../actions";
import type { ListSpec } from "./spec";
import type { ListChoice } from "./use-list";

interface Props<T extends Resource> {
  spec: ListSpec<T>;
  choice: ListChoice;
  onChange: (change: Partial<ListChoice>) => void;
  onReload: () => void;
  loading: boolean;
}

/** Search, filter and refresh of a list. */
export function ListToolbar<T extends Resource>({ spec, choice, onChange, onReload, loading }: Props<T>) {
  const t = useT();
  return (
    <Space wrap className="list-toolbar">
      <SearchBox spec={spec} choice={choice} onChange={onChange} />
      {spec.filter && (
        <Select
          aria-label={t(spec.filter.title)}
          value={choice.filter}
          onChange={(filter) => onChange({ filter })}
          style={{ minWidth: 150 }}
          prefix={<span className="select-prefix">{t(spec.filter.title)}:</span>}
          options={[
            { value: "", label: t(spec.filter.hidden ? "list.filterLive" : "list.filterAll") },
            ...spec.filter.values.map((value) => ({ value, label: stateName(t, value) })),
          ]}
        />
      )}
      <Tooltip title={t("list.refresh")}>
        <Button
          icon={<ReloadOutlined aria-hidden spin={loading} />}
          aria-label={t("list.refresh")}
          onClick={onReload}
        />
      </Tooltip>
    </Space>
  );
}

/** How long to wait for the next key before searching. */
const TYPING_MS = 350;

function SearchBox<T extends Resource>({
  spec,
  choice,
  onChange,
}: Pick<Props<T>, "spec" | "choice" | "onChange">) {
  const t = useT();
  const [text, setText] = useState(choice.text);
  useEffect(() => setText(choice.text), [choice.text]);
  useEffect(() => {
    if (text.trim() === choice.text) return;
    const timer = setTimeout(() => onChange({ text: text.trim() }), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text, choice.text, onChange]);
  return (
    <Space.Compact className="search-box">
      <Select
        aria-label={t("list.searchField")}
        value={choice.field}
        onChange={(field) => onChange({ field, text: text.trim() })}
        popupMatchSelectWidth={false}
        options={spec.search.map((field) => ({ value: field.key, label: t(field.title) }))}
      />
      <Input.Search
        aria-label={t("list.search")}
        placeholder={t("list.search")}
        allowClear
        value={text}
        onChange={(event) => setText(event.target.value)}
        onSearch={(value) => onChange({ text: value.trim() })}
      />
    </Space.Compact>
  );
}
