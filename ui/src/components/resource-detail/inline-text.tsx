import { CheckOutlined, CloseOutlined, EditOutlined } from "@ant-design/icons";
import { App, Button, Input, Space } from "antd";
import { useState } from "react";
import { errorBody } from "../../api/error";
import { useT } from "../../i18n";
import { ReasonedButton } from "../actions";
import { ErrorDetails } from "../error-panel";

interface Props {
  /** What the field is called. */
  label: string;
  value: string;
  required?: boolean;
  maxLength: number;
  /** Why it cannot be changed now. */
  reason?: string | undefined;
  onSave: (value: string) => Promise<unknown>;
}

/** A text that is changed in place: Enter saves, Escape takes back. */
export function InlineText(props: Props) {
  const t = useT();
  const [editing, setEditing] = useState(false);
  if (editing) return <Editor {...props} onClose={() => setEditing(false)} />;
  return (
    <span className="inline-text">
      {props.value || "–"}
      <ReasonedButton
        iconOnly
        icon={<EditOutlined aria-hidden />}
        label={t("common.edit", { field: props.label })}
        reason={props.reason}
        onClick={() => setEditing(true)}
      />
    </span>
  );
}

function Editor({ label, value, required, maxLength, onSave, onClose }: Props & { onClose: () => void }) {
  const t = useT();
  const { notification } = App.useApp();
  const [text, setText] = useState(value);
  const [saving, setSaving] = useState(false);
  const refused = required && text.trim() === "";

  const save = async () => {
    if (refused || saving) return;
    if (text.trim() === value) return onClose();
    setSaving(true);
    try {
      await onSave(text.trim());
      onClose();
    } catch (thrown) {
      setSaving(false);
      const error = errorBody(thrown);
      notification.error({
        title: error.description ?? t("error.unknown"),
        description: <ErrorDetails error={error} titled />,
        role: "alert",
      });
    }
  };

  return (
    <Space.Compact>
      <Input
        autoFocus
        aria-label={label}
        value={text}
        maxLength={maxLength}
        status={refused ? "error" : undefined}
        disabled={saving}
        onChange={(event) => setText(event.target.value)}
        onPressEnter={save}
        onKeyDown={(event) => event.key === "Escape" && onClose()}
      />
      <Button
        icon={<CheckOutlined aria-hidden />}
        aria-label={t("common.save")}
        loading={saving}
        disabled={refused}
        onClick={save}
      />
      <Button
        icon={<CloseOutlined aria-hidden />}
        aria-label={t("common.cancel")}
        disabled={saving}
        onClick={onClose}
      />
    </Space.Compact>
  );
}
