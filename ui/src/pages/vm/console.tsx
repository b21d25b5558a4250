import { ExpandOutlined, LockOutlined, ReloadOutlined } from "@ant-design/icons";
import type RFB from "@novnc/novnc";
import { Button, Result, Space, Spin } from "antd";
import { useCallback, useEffect, useRef, useState } from "react";
import { useParams } from "react-router";
import { queryVmInstance, requestConsoleAccess } from "../../api/generated";
import { ErrorPanel } from "../../components/error-panel";
import { Logo } from "../../components/logo";
import { useResource } from "../../components/resource-detail/use-resource";
import { StateTag } from "../../components/state-tag";
import { useT } from "../../i18n";
import { VM_EVENTS, type Vm } from "./model";

type Phase = { kind: "connecting" | "connected" | "disconnected" } | { kind: "failed"; error: unknown };

/** The console's websocket, on the page's own origin. */
export function consoleUrl(token: string, origin: string): string {
  return `${origin.replace(/^http/, "ws")}/console/${encodeURIComponent(token)}`;
}

/** Opens a console in `screen`. The token is used up by the connection, so each try asks for a new one. */
async function connect(uuid: string, screen: HTMLElement, signal: AbortSignal): Promise<RFB> {
  const [{ inventory }, { default: Rfb }] = await Promise.all([
    requestConsoleAccess({ vmInstanceUuid: uuid }, { signal }),
    import("@novnc/novnc"),
  ]);
  signal.throwIfAborted();
  const rfb = new Rfb(screen, consoleUrl(inventory?.token ?? "", window.location.origin));
  rfb.scaleViewport = true;
  rfb.background = "#10181a";
  rfb.focusOnClick = true;
  return rfb;
}

function useConsole(uuid: string) {
  const screen = useRef<HTMLDivElement>(null);
  const rfb = useRef<RFB | undefined>(undefined);
  const [phase, setPhase] = useState<Phase>({ kind: "connecting" });
  const [turn, setTurn] = useState(0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new turn is a new connection
  useEffect(() => {
    const element = screen.current;
    if (!element) return;
    const abort = new AbortController();
    setPhase({ kind: "connecting" });
    connect(uuid, element, abort.signal).then(
      (opened) => {
        rfb.current = opened;
        opened.addEventListener("connect", () => setPhase({ kind: "connected" }));
        opened.addEventListener(
          "disconnect",
          () => !abort.signal.aborted && setPhase({ kind: "disconnected" }),
        );
        opened.addEventListener("connect", () => opened.focus());
      },
      (error: unknown) => !abort.signal.aborted && setPhase({ kind: "failed", error }),
    );
    return () => {
      abort.abort();
      rfb.current?.disconnect();
      rfb.current = undefined;
    };
  }, [uuid, turn]);

  const reconnect = useCallback(() => setTurn((before) => before + 1), []);
  const sendKeys = useCallback(() => rfb.current?.sendCtrlAltDel(), []);
  return { screen, phase, reconnect, sendKeys };
}

/** The console of a VM in a window of its own. */
export default function ConsolePage() {
  const { uuid = "" } = useParams();
  const t = useT();
  const vm = useResource<Vm>(queryVmInstance, uuid, VM_EVENTS).data;
  const { screen, phase, reconnect, sendKeys } = useConsole(uuid);
  const name = vm?.name ?? uuid;
  useEffect(() => {
    document.title = t("console.title", { name });
  }, [name, t]);
  return (
    <main className="console">
      <header className="console-bar">
        <Space>
          <Logo size={22} />
          <strong>{name}</strong>
          {vm && <StateTag state={vm.state} />}
        </Space>
        <Space>
          <Button
            size="small"
            icon={<LockOutlined aria-hidden />}
            disabled={phase.kind !== "connected"}
            onClick={sendKeys}
          >
            {t("console.sendKeys")}
          </Button>
          <Button size="small" icon={<ReloadOutlined aria-hidden />} onClick={reconnect}>
            {t("console.reconnect")}
          </Button>
          <Button
            size="small"
            icon={<ExpandOutlined aria-hidden />}
            onClick={() => void screen.current?.requestFullscreen()}
          >
            {t("console.fullscreen")}
          </Button>
        </Space>
      </header>
      <div className="console-stage">
        <div
          ref={screen}
          className="console-screen"
          role="application"
          aria-label={t("console.screen")}
          data-phase={phase.kind}
        />
        <ConsoleCover phase={phase} onReconnect={reconnect} />
      </div>
    </main>
  );
}

/** What is shown while there is no picture. */
function ConsoleCover({ phase, onReconnect }: { phase: Phase; onReconnect: () => void }) {
  const t = useT();
  if (phase.kind === "connected") return null;
  return (
    <div className="console-cover">
      {phase.kind === "connecting" && (
        <p role="status">
          <Spin /> {t("console.connecting")}
        </p>
      )}
      {phase.kind === "disconnected" && (
        <Result
          status="warning"
          title={t("console.disconnected")}
          subTitle={t("console.disconnectedHelp")}
          extra={
            <Button type="primary" onClick={onReconnect}>
              {t("console.reconnect")}
            </Button>
          }
        />
      )}
      {phase.kind === "failed" && (
        <ErrorPanel error={phase.error} title={t("console.failed")} onRetry={onReconnect} />
      )}
    </div>
  );
}
