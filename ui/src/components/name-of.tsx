import { Link } from "react-router";
import { useNames } from "../api/names";

/** The name of a resource known by its uuid, as a link where there is a page for it. */
export function NameOf({ uuid, to }: { uuid: string | undefined; to?: string }) {
  const nameOf = useNames([uuid]);
  if (!uuid) return <>–</>;
  return to ? <Link to={to}>{nameOf(uuid)}</Link> : <span title={uuid}>{nameOf(uuid)}</span>;
}
