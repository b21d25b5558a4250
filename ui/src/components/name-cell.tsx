import { Link } from "react-router";
import type { Resource } from "./actions";
import { Uuid } from "./uuid";

/** Name and id of a resource in a list, linked to its page where it has one. */
export function NameCell({ of, to }: { of: Resource; to?: string }) {
  return (
    <div className="name-cell">
      {to ? <Link to={to}>{of.name}</Link> : <span className="name">{of.name}</span>}
      <Uuid uuid={of.uuid} short />
    </div>
  );
}
