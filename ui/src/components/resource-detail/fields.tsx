import { Descriptions } from "antd";
import type { ReactNode } from "react";

/** Attributes of a resource, in two columns where there is room. */
export function Fields({ title, items }: { title?: string; items: [label: string, value: ReactNode][] }) {
  return (
    <Descriptions
      title={title}
      size="small"
      column={{ xs: 1, md: 1, lg: 2 }}
      className="fields"
      items={items.map(([label, children]) => ({ key: label, label, children }))}
    />
  );
}
