import { App as AntApp, ConfigProvider, type ThemeConfig } from "antd";
import enUS from "antd/locale/en_US";
import zhCN from "antd/locale/zh_CN";
import zhTW from "antd/locale/zh_TW";
import { useEffect } from "react";
import { RouterProvider } from "react-router";
import { type Language, useLanguage } from "./i18n";
import type { createRouter } from "./routes";

const THEME: ThemeConfig = {
  token: {
    motion: !window.matchMedia("(prefers-reduced-motion: reduce)").matches,
    colorPrimary: "#0f766e",
    colorLink: "#0f766e",
    colorPrimaryBg: "#e8f5f3",
    colorPrimaryBgHover: "#dcefec",
    controlItemBgActive: "#e8f5f3",
    controlItemBgActiveHover: "#dcefec",
    colorInfo: "#0369a1",
    borderRadius: 8,
    colorBgLayout: "#f3f6f6",
    fontFamily:
      '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "DejaVu Sans", sans-serif',
  },
  components: {
    Layout: { siderBg: "#0c2426", headerBg: "#ffffff", headerHeight: 52, headerPadding: "0 24px" },
    Menu: {
      darkItemBg: "#0c2426",
      darkItemSelectedBg: "#0f766e",
      darkGroupTitleColor: "#7fa3a3",
      itemHeight: 38,
    },
    Table: {
      headerBg: "#f8fafa",
      headerSortActiveBg: "#f0f4f4",
      headerSortHoverBg: "#f0f4f4",
      bodySortBg: "transparent",
      cellPaddingInlineSM: 12,
    },
  },
};

const ANT_LOCALES: Record<Language, typeof enUS> = { en: enUS, "zh-CN": zhCN, "zh-TW": zhTW };

/** The whole page: language, look and addresses. */
export function CairnApp({ router }: { router: ReturnType<typeof createRouter> }) {
  const language = useLanguage();
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  return (
    <ConfigProvider theme={THEME} locale={ANT_LOCALES[language]} button={{ autoInsertSpace: false }}>
      <AntApp notification={{ placement: "bottomRight" }}>
        <RouterProvider router={router} />
      </AntApp>
    </ConfigProvider>
  );
}
