import { LockOutlined, UserOutlined } from "@ant-design/icons";
import { Alert, Button, Form, Input } from "antd";
import { useState } from "react";
import { Navigate, useLocation } from "react-router";
import { logInByAccount } from "../api/generated";
import { sessionStore, startSession } from "../api/session";
import { ErrorPanel } from "../components/error-panel";
import { Logo } from "../components/logo";
import { PageHeader } from "../components/page-header";
import { LanguageSwitch } from "../components/shell/header";
import { useT } from "../i18n";
import { hashPassword } from "../lib/sha512";
import { useStore } from "../lib/store";

interface Values {
  accountName: string;
  password: string;
}

/** Login by account and password. The password leaves the browser only as its hash. */
export function LoginPage() {
  const t = useT();
  const { session, expired } = useStore(sessionStore);
  const from = (useLocation().state as { from?: string } | null)?.from ?? "/";
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);

  const logIn = async ({ accountName, password }: Values) => {
    setBusy(true);
    setError(undefined);
    try {
      const { inventory } = await logInByAccount({ accountName, password: await hashPassword(password) });
      if (inventory)
        startSession({ uuid: inventory.uuid, accountUuid: inventory.accountUuid ?? "", accountName });
    } catch (thrown) {
      setError(thrown);
    }
    setBusy(false);
  };

  if (session) return <Navigate to={from} replace />;
  return (
    <main className="login">
      <div className="login-brand">
        <Logo size={72} />
        <strong>{t("app.name")}</strong>
        <p>{t("app.tagline")}</p>
      </div>
      <div className="login-side">
        <div className="login-language">
          <LanguageSwitch />
        </div>
        <div className="login-card">
          <PageHeader title={t("login.title")} />
          {expired && error === undefined && <Alert type="info" showIcon title={t("login.expired")} />}
          {error !== undefined && <ErrorPanel error={error} title={t("login.failed")} />}
          <Form<Values>
            layout="vertical"
            onFinish={logIn}
            requiredMark={false}
            size="large"
            aria-label={t("login.title")}
          >
            <Form.Item
              name="accountName"
              label={t("login.account")}
              rules={[{ required: true, whitespace: true, message: t("login.accountRequired") }]}
            >
              <Input prefix={<UserOutlined aria-hidden />} autoComplete="username" autoFocus />
            </Form.Item>
            <Form.Item
              name="password"
              label={t("login.password")}
              rules={[{ required: true, message: t("login.passwordRequired") }]}
            >
              <Input.Password prefix={<LockOutlined aria-hidden />} autoComplete="current-password" />
            </Form.Item>
            <Button type="primary" htmlType="submit" block loading={busy}>
              {t("login.submit")}
            </Button>
          </Form>
        </div>
      </div>
    </main>
  );
}
