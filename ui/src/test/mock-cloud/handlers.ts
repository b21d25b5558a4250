import type { Plan } from "../../api/call";
import type { Operations } from "../../api/generated";

/** What a handler knows of the request beside its parameters. */
export interface CallContext {
  systemTags: string[];
  userTags: string[];
  /** The job, when the call is one. */
  jobUuid?: string;
}

/** How a mock answers one operation, with the types of the generated client. Throw a `Refusal` for an error. */
export type Handlers = {
  [N in keyof Operations]?: (
    params: Operations[N]["params"],
    context: CallContext,
  ) => Operations[N]["result"] | Promise<Operations[N]["result"]>;
};

/** How a mock answers when it is asked for a plan. */
export type Planners = {
  [N in keyof Operations]?: (params: Operations[N]["params"], context: CallContext) => Plan;
};
