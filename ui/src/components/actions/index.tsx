import { DownOutlined, MoreOutlined } from "@ant-design/icons";
import { Button, Dropdown, type MenuProps, Space, Tooltip } from "antd";
import type { ReactNode } from "react";
import { useT } from "../../i18n";
import { buttonsFor, isAllowed, operationName, type Resource, type ResourceAction, whyNot } from "./action";
import { useRunAction } from "./use-run-action";

export type { Resource, ResourceAction } from "./action";
export { isAllowed, operationName, stateName, whyNot } from "./action";

/** A button that says why it is disabled: on hover, on focus, and to a screen reader. */
export function ReasonedButton(props: {
  label: string;
  reason: string | undefined;
  icon?: ReactNode;
  iconOnly?: boolean;
  danger?: boolean;
  primary?: boolean;
  onClick: () => void;
}) {
  const button = (
    <Button
      type={props.iconOnly ? "text" : props.primary ? "primary" : "default"}
      size={props.iconOnly ? "small" : "middle"}
      icon={props.icon}
      danger={props.danger === true}
      disabled={props.reason !== undefined}
      aria-label={props.label}
      onClick={props.onClick}
    >
      {props.iconOnly ? undefined : props.label}
    </Button>
  );
  const title = props.reason ?? (props.iconOnly ? props.label : undefined);
  if (!title) return button;
  return (
    <Tooltip title={title}>
      {props.reason ? (
        // A disabled button gets neither focus nor pointer: what is around it does, to tell the reason.
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the reason must be reachable by keyboard
        <span className="reasoned" role="note" tabIndex={0} aria-label={`${props.label}: ${props.reason}`}>
          {button}
        </span>
      ) : (
        button
      )}
    </Tooltip>
  );
}

interface ActionProps<T extends Resource> {
  resource: T;
  actions: readonly ResourceAction<T>[];
  /** Operations that get a button of their own; all others are in the menu. */
  shown: readonly string[];
}

/** The actions of one row: a few buttons where there is room, and the menu with all. */
export function RowActions<T extends Resource>({
  resource,
  actions,
  shown,
  menuOnly,
}: ActionProps<T> & { menuOnly: boolean }) {
  const t = useT();
  const run = useRunAction<T>();
  const buttons = menuOnly ? [] : buttonsFor(resource, actions, shown);
  return (
    <Space size={2}>
      {buttons.map((action) => (
        <ReasonedButton
          key={action.operation}
          iconOnly
          label={operationName(t, action.operation)}
          icon={action.icon}
          reason={whyNot(t, resource, action, actions)}
          onClick={() => run(action, [resource])}
        />
      ))}
      <Dropdown menu={useMenu(resource, actions)} trigger={["click"]} placement="bottomRight">
        <Button
          type="text"
          size="small"
          icon={<MoreOutlined aria-hidden />}
          aria-label={`${t("common.more")}: ${resource.name ?? resource.uuid}`}
        />
      </Dropdown>
    </Space>
  );
}

/** The actions of a detail page: the usual ones as buttons, all of them in a menu. */
export function HeaderActions<T extends Resource>({ resource, actions, shown }: ActionProps<T>) {
  const t = useT();
  const run = useRunAction<T>();
  return (
    <Space wrap>
      {buttonsFor(resource, actions, shown).map((action) => (
        <ReasonedButton
          key={action.operation}
          label={operationName(t, action.operation)}
          icon={action.icon}
          danger={action.danger}
          reason={whyNot(t, resource, action, actions)}
          onClick={() => run(action, [resource])}
        />
      ))}
      <Dropdown menu={useMenu(resource, actions)} trigger={["click"]} placement="bottomRight">
        <Button icon={<DownOutlined aria-hidden />} iconPlacement="end">
          {t("common.actions")}
        </Button>
      </Dropdown>
    </Space>
  );
}

function useMenu<T extends Resource>(resource: T, actions: readonly ResourceAction<T>[]): MenuProps {
  const t = useT();
  const run = useRunAction<T>();
  const offered = actions.filter(
    (action) => !action.onlyWhenAllowed || isAllowed(resource, action.operation),
  );
  return {
    items: offered.map((action) => {
      const reason = whyNot(t, resource, action, actions);
      const name = operationName(t, action.operation);
      return {
        key: action.operation,
        icon: action.icon,
        danger: action.danger === true,
        disabled: reason !== undefined,
        label: (
          <Tooltip title={reason} placement="left">
            <span className="menu-label" aria-description={reason}>
              {name}
            </span>
          </Tooltip>
        ),
      };
    }),
    onClick: ({ key, domEvent }) => {
      domEvent.stopPropagation();
      const action = offered.find((one) => one.operation === key);
      if (action) run(action, [resource]);
    },
  };
}

/** Buttons for a selection. What an action cannot be done to is skipped, and the button says how many are left. */
export function BatchActions<T extends Resource>({
  resources,
  actions,
}: {
  resources: T[];
  actions: readonly ResourceAction<T>[];
}) {
  const t = useT();
  const run = useRunAction<T>();
  return (
    <Space wrap size="small">
      {actions
        .filter((action) => action.batch)
        .map((action) => {
          const able = resources.filter((resource) => isAllowed(resource, action.operation));
          const name = operationName(t, action.operation);
          const some = able.length > 0 && able.length < resources.length;
          return (
            <ReasonedButton
              key={action.operation}
              label={
                some ? t("action.batch", { action: name, count: able.length, total: resources.length }) : name
              }
              icon={action.icon}
              danger={action.danger}
              reason={able.length === 0 ? t("action.notAllowedForAny") : undefined}
              onClick={() => run(action, able)}
            />
          );
        })}
    </Space>
  );
}
