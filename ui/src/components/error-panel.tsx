import { Alert, Button, Typography } from "antd";
import type { ReactNode } from "react";
import { causeChain, type ErrorBody, errorBody, JOB_LOST, NETWORK_ERROR } from "../api/error";
import { useT } from "../i18n";

/** One error of a chain: description, details and code, as the server words them. */
function OneError({ error, cause, full }: { error: ErrorBody; cause: boolean; full: boolean }) {
  const t = useT();
  return (
    <div className={cause ? "error-cause" : undefined}>
      {cause && <Typography.Text type="secondary">{t("error.cause")}: </Typography.Text>}
      {full && !error.details && (error.description ?? "")}
      {error.details && (full || error.details !== error.description) && (
        <div className="error-details">{error.details}</div>
      )}
      {error.elaboration && <div>{error.elaboration}</div>}
      {error.code && (
        <Typography.Text type="secondary" className="error-code">
          {t("error.code")} <code>{error.code}</code>
        </Typography.Text>
      )}
    </div>
  );
}

/** What the page itself knows about an error that no answer of the API describes. */
function useWording() {
  const t = useT();
  return (error: ErrorBody): ErrorBody => {
    if (error.code === NETWORK_ERROR)
      return { ...error, description: t("error.network"), elaboration: t("error.networkHelp") };
    if (error.code === JOB_LOST) return { ...error, description: t("error.jobLost") };
    return error;
  };
}

/** An error's code, details and chain of causes; its description too, unless what is above says that. */
export function ErrorDetails({ error, titled = false }: { error: ErrorBody; titled?: boolean }) {
  const word = useWording();
  return (
    <>
      {causeChain(word(error)).map((one, depth) => (
        // A chain never changes its order.
        // biome-ignore lint/suspicious/noArrayIndexKey: the place in the chain is the identity
        <OneError key={depth} error={one} cause={depth > 0} full={depth > 0 || !titled} />
      ))}
    </>
  );
}

/** A failure, shown where it happened, with the verb that may mend it. */
export function ErrorPanel({
  error,
  title,
  onRetry,
}: {
  error: unknown;
  title?: ReactNode;
  onRetry?: () => void;
}) {
  const t = useT();
  const word = useWording();
  const body = word(errorBody(error));
  return (
    <Alert
      type="error"
      showIcon
      role="alert"
      title={title ?? body.description ?? t("error.unknown")}
      description={<ErrorDetails error={body} titled={!title} />}
      action={
        onRetry && (
          <Button size="small" onClick={onRetry}>
            {t("common.retry")}
          </Button>
        )
      }
    />
  );
}
