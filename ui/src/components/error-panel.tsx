import { Alert, Button, Typography } from "antd";
import type { ReactNode } from "react";
import { causeChain, type ErrorBody, errorBody, JOB_LOST, NETWORK_ERROR } from "../api/error";
import { useT } from "../i18n";

/** One error of a chain: description, details and code, as the server words them. */
function OneError({ error, cause }: { error: ErrorBody; cause: boolean }) {
  const t = useT();
  return (
    <div className={cause ? "error-cause" : undefined}>
      {cause && <Typography.Text type="secondary">{t("error.cause")}: </Typography.Text>}
      {cause && (error.description ?? "")}
      {error.details && error.details !== error.description && (
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

/** The whole of an error: code, details and the chain of causes. */
export function ErrorDetails({ error }: { error: ErrorBody }) {
  const word = useWording();
  return (
    <>
      {causeChain(word(error)).map((one, depth) => (
        // A chain never changes its order.
        // biome-ignore lint/suspicious/noArrayIndexKey: the place in the chain is the identity
        <OneError key={depth} error={one} cause={depth > 0} />
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
      description={
        <>
          {title && body.description && <div>{body.description}</div>}
          <ErrorDetails error={body} />
        </>
      }
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
