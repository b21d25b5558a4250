import { Result } from "antd";
import { lazy, Suspense } from "react";
import {
  createBrowserRouter,
  createMemoryRouter,
  Navigate,
  type RouteObject,
  useRouteError,
} from "react-router";
import { ErrorPanel } from "./components/error-panel";
import { LinkButton } from "./components/link-button";
import { RequireSession, Shell } from "./components/shell";
import { useT } from "./i18n";
import { ClusterListPage, HostListPage, ZoneListPage } from "./pages/hardware";
import { ImageListPage } from "./pages/images";
import { InstanceOfferingListPage } from "./pages/instance-offerings";
import { L3NetworkListPage } from "./pages/l3-networks";
import { LoginPage } from "./pages/login";
import { VmCreatePage } from "./pages/vm/create";
import { VmDetailPage } from "./pages/vm/detail";
import { VmListPage } from "./pages/vm/list";

// noVNC is large and only needed here.
const ConsolePage = lazy(() => import("./pages/vm/console"));

function NotFound() {
  const t = useT();
  return (
    <Result
      status="404"
      title={t("app.notFound")}
      extra={
        <LinkButton to="/vms" type="primary">
          {t("app.goHome")}
        </LinkButton>
      }
    />
  );
}

function Crashed() {
  const t = useT();
  return (
    <ErrorPanel error={useRouteError()} title={t("error.crashed")} onRetry={() => window.location.reload()} />
  );
}

const routes: RouteObject[] = [
  { path: "/login", element: <LoginPage />, errorElement: <Crashed /> },
  {
    element: <RequireSession />,
    errorElement: <Crashed />,
    children: [
      {
        path: "/vms/:uuid/console",
        element: (
          <Suspense>
            <ConsolePage />
          </Suspense>
        ),
      },
      {
        element: <Shell />,
        children: [
          {
            errorElement: <Crashed />,
            children: [
              { path: "/", element: <Navigate to="/vms" replace /> },
              { path: "/vms", element: <VmListPage /> },
              { path: "/vms/new", element: <VmCreatePage /> },
              { path: "/vms/:uuid", element: <VmDetailPage /> },
              { path: "/images", element: <ImageListPage /> },
              { path: "/instance-offerings", element: <InstanceOfferingListPage /> },
              { path: "/l3-networks", element: <L3NetworkListPage /> },
              { path: "/zones", element: <ZoneListPage /> },
              { path: "/clusters", element: <ClusterListPage /> },
              { path: "/hosts", element: <HostListPage /> },
              { path: "*", element: <NotFound /> },
            ],
          },
        ],
      },
    ],
  },
];

/** The router of the page. Tests give the address to start at. */
export function createRouter(startAt?: string) {
  return startAt === undefined
    ? createBrowserRouter(routes)
    : createMemoryRouter(routes, { initialEntries: [startAt] });
}
