import { useLanguage } from "../i18n";
import { formatDate } from "../lib/format";

/** A date of the API in the reader's language and zone. */
export function DateText({ date }: { date: string | undefined }) {
  return <span className="nowrap">{formatDate(date, useLanguage())}</span>;
}
