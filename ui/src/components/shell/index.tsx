import { Layout } from "antd";
import { Suspense, useEffect } from "react";
import { Navigate, Outlet, useLocation } from "react-router";
import { followEvents } from "../../api/events";
import { sessionStore } from "../../api/session";
import { useT } from "../../i18n";
import { useStore } from "../../lib/store";
import { ShellHeader } from "./header";
import { ShellMenu } from "./menu";

/** Lets only those in who are logged in; the others log in first and come back. */
export function RequireSession() {
  const { session } = useStore(sessionStore);
  const location = useLocation();
  const token = session?.uuid;
  useEffect(() => (token ? followEvents() : undefined), [token]);
  if (!session) return <Navigate to="/login" replace state={{ from: location.pathname + location.search }} />;
  return <Outlet />;
}

/** The frame around every page: menu, header, content. */
export function Shell() {
  const t = useT();
  return (
    <Layout className="shell" hasSider>
      <ShellMenu />
      <Layout>
        <ShellHeader />
        <Layout.Content className="content">
          <Suspense fallback={<p className="muted">{t("app.loading")}</p>}>
            <Outlet />
          </Suspense>
        </Layout.Content>
      </Layout>
    </Layout>
  );
}
