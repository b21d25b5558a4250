import { LockOutlined, LogoutOutlined, UserOutlined } from "@ant-design/icons";
import { App, Button, Dropdown, Form, Input, Modal } from "antd";
import { useState } from "react";
import { logOut, updateAccount } from "../../api/generated";
import { forgetNames } from "../../api/names";
import { endSession, sessionStore } from "../../api/session";
import { useT } from "../../i18n";
import { hashPassword } from "../../lib/sha512";
import { useStore } from "../../lib/store";
import { tasks } from "../../tasks/store";
import { ErrorPanel } from "../error-panel";

/** Who is logged in: change the password, log out. */
export function AccountMenu() {
  const t = useT();
  const { session } = useStore(sessionStore);
  const [open, setOpen] = useState(false);
  const leave = async () => {
    if (!session) return;
    // The server may be away or the session over; the page forgets it in any case.
    await logOut({ sessionUuid: session.uuid }).catch(() => undefined);
    forgetNames();
    tasks.set([]);
    endSession();
  };
  return (
    <>
      <Dropdown
        trigger={["click"]}
        menu={{
          items: [
            { key: "password", icon: <LockOutlined aria-hidden />, label: t("account.password") },
            { key: "logout", icon: <LogoutOutlined aria-hidden />, label: t("account.logout") },
          ],
          onClick: ({ key }) => (key === "password" ? setOpen(true) : void leave()),
        }}
      >
        <Button
          type="text"
          icon={<UserOutlined aria-hidden />}
          aria-label={`${t("account.menu")}: ${session?.accountName ?? ""}`}
        >
          {session?.accountName}
        </Button>
      </Dropdown>
      {session && (
        <PasswordDialog open={open} accountUuid={session.accountUuid} onClose={() => setOpen(false)} />
      )}
    </>
  );
}

interface PasswordValues {
  password: string;
  again: string;
}

function PasswordDialog(props: { open: boolean; accountUuid: string; onClose: () => void }) {
  const t = useT();
  const { message } = App.useApp();
  const [form] = Form.useForm<PasswordValues>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();

  const save = async ({ password }: PasswordValues) => {
    setBusy(true);
    setError(undefined);
    try {
      await updateAccount({ uuid: props.accountUuid, password: await hashPassword(password) });
      message.success(t("account.passwordDone"));
      props.onClose();
    } catch (thrown) {
      setError(thrown);
    }
    setBusy(false);
  };

  const required = { required: true, message: t("login.passwordRequired") };
  return (
    <Modal
      title={t("account.password")}
      open={props.open}
      onCancel={props.onClose}
      onOk={form.submit}
      okText={t("common.save")}
      confirmLoading={busy}
      destroyOnHidden
      afterClose={() => setError(undefined)}
    >
      <p className="muted">{t("account.passwordHelp")}</p>
      {error !== undefined && <ErrorPanel error={error} title={t("account.passwordFailed")} />}
      <Form form={form} layout="vertical" onFinish={save} preserve={false} requiredMark={false}>
        <Form.Item name="password" label={t("account.newPassword")} rules={[required]}>
          <Input.Password autoComplete="new-password" />
        </Form.Item>
        <Form.Item
          name="again"
          label={t("account.repeat")}
          dependencies={["password"]}
          rules={[
            required,
            ({ getFieldValue }) => ({
              validator: (_, again) =>
                !again || again === getFieldValue("password")
                  ? Promise.resolve()
                  : Promise.reject(new Error(t("account.different"))),
            }),
          ]}
        >
          <Input.Password autoComplete="new-password" />
        </Form.Item>
      </Form>
    </Modal>
  );
}
