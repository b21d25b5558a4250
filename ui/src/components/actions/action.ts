import type { ReactNode } from "react";
import type { Plan } from "../../api/call";
import { isMessageKey, type Translate } from "../../i18n";
import { wordsOf } from "../../lib/format";

/** What every inventory has in common. */
export interface Resource {
  uuid: string;
  name?: string;
  state?: string;
  /** API actions that the server would accept now. Absent: the server does not say, so nothing is ruled out here. */
  allowedActions?: string[];
}

/** Something that can be done to a resource of type `T`. The server, not the page, knows when it is allowed. */
export interface ResourceAction<T extends Resource> {
  /** The API's name, as in `allowedActions`. */
  operation: string;
  icon: ReactNode;
  danger?: boolean;
  /** Ask first, with the server's plan where there is one. */
  confirm?: boolean;
  /** Show only where allowed, since the opposite is usual: recover and expunge. */
  onlyWhenAllowed?: boolean;
  /** Shows its own outcome, so none is announced. */
  quiet?: boolean;
  /** May be done to several at once. */
  batch?: boolean;
  run(resource: T): Promise<unknown>;
  plan?(resource: T): Promise<Plan>;
}

export function isAllowed(resource: Resource, operation: string): boolean {
  return resource.allowedActions?.includes(operation) ?? true;
}

/** The actions that get a button of their own. Where the opposite of the usual is possible, it takes their place. */
export function buttonsFor<T extends Resource>(
  resource: T,
  actions: readonly ResourceAction<T>[],
  shown: readonly string[],
): ResourceAction<T>[] {
  const opposite = actions.filter((one) => one.onlyWhenAllowed && isAllowed(resource, one.operation));
  if (opposite.length > 0) return opposite;
  return actions.filter((one) => shown.includes(one.operation));
}

/** The name of an operation in the reader's language. */
export function operationName(t: Translate, operation: string): string {
  const key = `op.${operation}`;
  return isMessageKey(key) ? t(key as "op.StartVmInstance") : wordsOf(operation);
}

export function stateName(t: Translate, state: string | undefined): string {
  const key = `state.${state}`;
  return isMessageKey(key) ? t(key as "state.Running") : (state ?? "");
}

/** Why an action is disabled, and what can be done instead. Undefined when it is allowed. */
export function whyNot<T extends Resource>(
  t: Translate,
  resource: T,
  action: Pick<ResourceAction<T>, "operation">,
  actions: readonly Pick<ResourceAction<T>, "operation">[],
): string | undefined {
  if (isAllowed(resource, action.operation)) return undefined;
  const possible = actions.filter((one) => isAllowed(resource, one.operation));
  const names = possible.map((one) => operationName(t, one.operation)).join(", ");
  const instead = names ? t("action.allowedNow", { actions: names }) : t("action.nothingAllowed");
  return `${t("action.notAllowed", { state: stateName(t, resource.state) })} ${instead}`;
}
