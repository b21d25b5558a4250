import { Link } from "react-router";
import { useNames } from "../api/names";

/** The name of a resource known by its uuid, as a link where there is a page for it. */
export function NameOf({ uuid, to }: { uuid: string | undefined; to?: string }) {
  const nameOf = useNames([uuid]);
  if (!uuid) return <>–</>;
  const name = nameOf(uuid);
  // Not everybody may know every name.
  const shown = name === uuid ? `…${uuid.slice(-8)}` : name;
  return to ? <Link to={to}>{shown}</Link> : <span title={uuid}>{shown}</span>;
}
