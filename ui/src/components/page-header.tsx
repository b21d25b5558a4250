import { Typography } from "antd";
import { type ReactNode, useEffect } from "react";
import { useT } from "../i18n";

/** The head of a page: where one is, and what can be done here. Sets the window's title. */
export function PageHeader(props: {
  title: ReactNode;
  windowTitle?: string;
  count?: number;
  above?: ReactNode;
  extra?: ReactNode;
}) {
  const t = useT();
  const name = props.windowTitle ?? (typeof props.title === "string" ? props.title : undefined);
  useEffect(() => {
    document.title = name ? `${name} – ${t("app.name")}` : t("app.name");
  }, [name, t]);
  return (
    <header className="page-header">
      <div>
        {props.above}
        <Typography.Title level={1}>
          {props.title}
          {props.count !== undefined && <span className="page-count">{props.count}</span>}
        </Typography.Title>
      </div>
      {props.extra}
    </header>
  );
}
