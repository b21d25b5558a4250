import { useCallback } from "react";
import { getVersion } from "../../api/generated";
import { useT } from "../../i18n";
import { useLoad } from "../../lib/use-load";

/** The server's version, at the foot of the menu. */
export function Version() {
  const t = useT();
  const { data } = useLoad(useCallback((signal: AbortSignal) => getVersion({}, { signal }), []));
  // Cairn's own version stands beside that of the API it speaks, which clients compare.
  const version = (data as { cairnVersion?: string } | undefined)?.cairnVersion ?? data?.version;
  return version ? <div className="version">{t("app.version", { version })}</div> : null;
}
