import { useLanguage } from "../i18n";
import { formatDate } from "../lib/format";

/** A date of the API in the reader's language and zone. */
export function DateText({ date }: { date: string | undefined }) {
  const language = useLanguage();
  return (
    <span className="nowrap" title={date ? formatDate(date, language, true) : undefined}>
      {formatDate(date, language)}
    </span>
  );
}
