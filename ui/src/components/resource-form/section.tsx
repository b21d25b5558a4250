import type { ReactNode } from "react";

/** A part of a form with a heading of its own. */
export function FormSection({
  title,
  help,
  children,
}: {
  title: string;
  help?: string;
  children: ReactNode;
}) {
  return (
    <fieldset className="form-section">
      <legend>{title}</legend>
      {help && <p className="muted">{help}</p>}
      {children}
    </fieldset>
  );
}
