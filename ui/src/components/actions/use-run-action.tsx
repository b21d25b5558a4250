import { App } from "antd";
import { useCallback } from "react";
import { errorBody } from "../../api/error";
import { useT } from "../../i18n";
import { ErrorDetails } from "../error-panel";
import { operationName, type Resource, type ResourceAction } from "./action";
import { ConfirmBody } from "./confirm-body";

/** Does an action to resources: asks first where that is due, then says how it went. */
export function useRunAction<T extends Resource>(): (action: ResourceAction<T>, resources: T[]) => void {
  const { modal, notification, message } = App.useApp();
  const t = useT();

  const runOne = useCallback(
    async (action: ResourceAction<T>, resource: T) => {
      const operation = operationName(t, action.operation);
      const name = resource.name ?? resource.uuid;
      try {
        await action.run(resource);
        if (!action.quiet) message.success(t("tasks.succeeded", { operation, name }));
      } catch (thrown) {
        const error = errorBody(thrown);
        notification.error({
          title: t("tasks.failure", { operation, name }),
          description: <ErrorDetails error={error} />,
          duration: 0,
          role: "alert",
        });
      }
    },
    [message, notification, t],
  );

  return useCallback(
    (action, resources) => {
      const runAll = () => {
        for (const resource of resources) void runOne(action, resource);
      };
      if (!action.confirm) return runAll();
      const operation = operationName(t, action.operation);
      modal.confirm({
        title:
          resources.length === 1
            ? t("confirm.one", { operation, name: resources[0]?.name ?? "" })
            : t("confirm.many", { operation, count: resources.length }),
        content: <ConfirmBody action={action} resources={resources} />,
        width: 560,
        okText: operation,
        okButtonProps: { danger: action.danger === true },
        cancelText: t("common.cancel"),
        onOk: runAll,
      });
    },
    [modal, runOne, t],
  );
}
