import { LeftOutlined } from "@ant-design/icons";
import { App, Button, Form, type FormInstance, Space } from "antd";
import { type ReactNode, useCallback, useRef, useState } from "react";
import { Link, useNavigate } from "react-router";
import type { Plan } from "../../api/call";
import { errorBody } from "../../api/error";
import { type TitleKey, useT } from "../../i18n";
import { ErrorDetails, ErrorPanel } from "../error-panel";
import { LinkButton } from "../link-button";
import { PageHeader } from "../page-header";
import { PlanResult } from "../plan-view";

export { FormSection } from "./section";

interface Props<V extends object> {
  title: TitleKey;
  submit: TitleKey;
  listPath: string;
  listTitle: TitleKey;
  form: FormInstance<V>;
  initial: Partial<V>;
  /** Starts the operation; the list shows what comes of it. */
  onSubmit: (values: V) => Promise<unknown>;
  onPlan: (values: V) => Promise<Plan>;
  /** Where to go when the operation was accepted. */
  after: string;
  children: ReactNode;
}

/** A form that makes or changes a resource, and can ask the server first what would come of it. */
export function ResourceForm<V extends object>(props: Props<V>) {
  const t = useT();
  const { form } = props;
  const plan = usePlan(props);
  const submit = useSubmit(props);
  return (
    <>
      <PageHeader
        title={t(props.title)}
        above={
          <Link className="back" to={props.listPath}>
            <LeftOutlined aria-hidden /> {t(props.listTitle)}
          </Link>
        }
      />
      <div className="form-grid">
        <Form<V>
          form={form}
          layout="vertical"
          aria-label={t(props.title)}
          initialValues={props.initial}
          onValuesChange={plan.forget}
          onFinish={submit.run}
          scrollToFirstError={{ focus: true }}
          className="card form-card"
        >
          {props.children}
          {submit.error !== undefined && <ErrorPanel error={submit.error} />}
          <Space className="form-buttons">
            <Button type="primary" htmlType="submit" loading={submit.busy}>
              {t(props.submit)}
            </Button>
            <Button onClick={plan.ask} loading={plan.busy}>
              {t("plan.show")}
            </Button>
            <LinkButton to={props.listPath} type="text">
              {t("common.cancel")}
            </LinkButton>
          </Space>
        </Form>
        <aside className="card plan-card">
          <h2>{t("plan.title")}</h2>
          <p className="muted">{t("plan.help")}</p>
          {plan.asked ? (
            <PlanResult plan={plan.plan} error={plan.error} />
          ) : (
            <Button block onClick={plan.ask} aria-hidden tabIndex={-1} type="dashed">
              {t("plan.show")}
            </Button>
          )}
        </aside>
      </div>
    </>
  );
}

/** The plan for what is typed. Any later change makes it void. */
function usePlan<V extends object>({ form, onPlan }: Props<V>) {
  const [state, setState] = useState<{ plan?: Plan; error?: unknown; asked: boolean; busy: boolean }>({
    asked: false,
    busy: false,
  });
  const turn = useRef(0);
  const forget = useCallback(() => {
    turn.current += 1;
    setState({ asked: false, busy: false });
  }, []);
  const ask = async () => {
    let values: V;
    try {
      values = await form.validateFields();
    } catch {
      return;
    }
    turn.current += 1;
    const mine = turn.current;
    setState({ asked: true, busy: true });
    const outcome = await onPlan(values).then(
      (plan) => ({ plan }),
      (error: unknown) => ({ error }),
    );
    if (mine === turn.current) setState({ ...outcome, asked: true, busy: false });
  };
  return { ...state, ask, forget };
}

/** How long to wait for an early refusal before the list takes over. */
const EARLY_MS = 1200;

function useSubmit<V extends object>({ title, onSubmit, after }: Props<V>) {
  const t = useT();
  const navigate = useNavigate();
  const { message, notification } = App.useApp();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const run = async (values: V) => {
    setBusy(true);
    setError(undefined);
    let left = false;
    const early = new Promise((resolve) => setTimeout(resolve, EARLY_MS));
    const outcome = onSubmit(values).then(
      () => message.success(t("form.done", { title: t(title) })),
      (thrown: unknown) => {
        if (!left) throw thrown;
        const body = errorBody(thrown);
        const description = <ErrorDetails error={body} />;
        notification.error({
          title: t("form.failed", { title: t(title) }),
          description,
          duration: 0,
          role: "alert",
        });
      },
    );
    try {
      await Promise.race([outcome, early]);
      left = true;
      navigate(after);
    } catch (thrown) {
      setError(thrown);
      setBusy(false);
    }
  };
  return { run, busy, error };
}
