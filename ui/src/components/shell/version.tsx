import { useCallback } from "react";
import { getVersion } from "../../api/generated";
import { useT } from "../../i18n";
import { useLoad } from "../../lib/use-load";

/** The server's version, at the foot of the menu. */
export function Version() {
  const t = useT();
  const { data } = useLoad(useCallback((signal: AbortSignal) => getVersion({}, { signal }), []));
  return data?.version ? <div className="version">{t("app.version", { version: data.version })}</div> : null;
}
