import type { ReactNode } from "react";
import type { QueryOperation } from "../../api/query";
import type { TitleKey } from "../../i18n";
import type { Resource, ResourceAction } from "../actions";

/** One column. `sort` names the field to sort by; only own fields can be sorted. */
export interface ListColumn<T> {
  key: string;
  title: TitleKey;
  sort?: string;
  width?: number;
  /** Dropped on narrow screens. */
  wide?: boolean;
  render(row: T): ReactNode;
}

/** One way to search. */
export interface SearchField {
  key: string;
  title: TitleKey;
  /** The query condition for what was typed: `name~=%web%`. */
  condition(text: string): string;
}

/** Everything that makes one list different from another. */
export interface ListSpec<T extends Resource> {
  /** Names the list in settings that are kept: `vms`. */
  id: string;
  title: TitleKey;
  query: QueryOperation<T>;
  /** Conditions that always hold. */
  conditions?: string[];
  /** Event types after which the list is read again; events of `eventTypes[0]` change its rows at once. */
  eventTypes: string[];
  columns: ListColumn<T>[];
  search: SearchField[];
  /** A filter by a field with few values. */
  filter?: {
    field: string;
    title: TitleKey;
    values: string[];
    /** Rows with this value are shown only when they are asked for. */
    hidden?: string;
  };
  sort: string;
  actions?: readonly ResourceAction<T>[];
  /** Operations with a button in every row. */
  rowActions?: readonly string[];
  empty?: TitleKey;
}

const contains = (field: string) => (text: string) => `${field}~=%${text}%`;
const beginsWith = (field: string) => (text: string) => `${field}~=${text}%`;

/** Search fields that nearly every list has. */
export const byName: SearchField = { key: "name", title: "list.fieldName", condition: contains("name") };
export const byUuid: SearchField = { key: "uuid", title: "list.fieldUuid", condition: beginsWith("uuid") };
export const byField = (key: string, title: TitleKey, field: string): SearchField => ({
  key,
  title,
  condition: contains(field),
});
