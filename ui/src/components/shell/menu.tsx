import {
  ApartmentOutlined,
  AppstoreOutlined,
  ClusterOutlined,
  DesktopOutlined,
  FileImageOutlined,
  GlobalOutlined,
  HddOutlined,
} from "@ant-design/icons";
import { Layout, Menu } from "antd";
import { useState } from "react";
import { Link, useLocation } from "react-router";
import { type TitleKey, useT } from "../../i18n";
import { Logo } from "../logo";
import { Version } from "./version";

const GROUPS: { title: TitleKey; pages: { path: string; title: TitleKey; icon: React.ReactNode }[] }[] = [
  {
    title: "menu.compute",
    pages: [
      { path: "/vms", title: "menu.vms", icon: <DesktopOutlined aria-hidden /> },
      { path: "/images", title: "menu.images", icon: <FileImageOutlined aria-hidden /> },
      {
        path: "/instance-offerings",
        title: "menu.instanceOfferings",
        icon: <AppstoreOutlined aria-hidden />,
      },
    ],
  },
  {
    title: "menu.network",
    pages: [{ path: "/l3-networks", title: "menu.l3Networks", icon: <ApartmentOutlined aria-hidden /> }],
  },
  {
    title: "menu.hardware",
    pages: [
      { path: "/zones", title: "menu.zones", icon: <GlobalOutlined aria-hidden /> },
      { path: "/clusters", title: "menu.clusters", icon: <ClusterOutlined aria-hidden /> },
      { path: "/hosts", title: "menu.hosts", icon: <HddOutlined aria-hidden /> },
    ],
  },
];

/** The main menu, by what an operator thinks in. Folds to icons on narrow screens. */
export function ShellMenu() {
  const t = useT();
  const { pathname } = useLocation();
  const [folded, setFolded] = useState(false);
  const here = GROUPS.flatMap((group) => group.pages).find((page) => pathname.startsWith(page.path));
  return (
    <Layout.Sider
      width={224}
      collapsedWidth={64}
      breakpoint="lg"
      collapsible
      trigger={null}
      collapsed={folded}
      onBreakpoint={setFolded}
      className="sider"
    >
      <Link to="/" className="brand" aria-label={t("app.name")}>
        <Logo size={30} />
        {!folded && <span>{t("app.name")}</span>}
      </Link>
      <nav aria-label={t("app.menu")}>
        <Menu
          theme="dark"
          mode="inline"
          selectedKeys={here ? [here.path] : []}
          items={GROUPS.map((group) => ({
            type: "group",
            key: group.title,
            label: folded ? "" : t(group.title),
            children: group.pages.map((page) => ({
              key: page.path,
              icon: page.icon,
              label: <Link to={page.path}>{t(page.title)}</Link>,
            })),
          }))}
        />
      </nav>
      {!folded && <Version />}
    </Layout.Sider>
  );
}
