const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Bytes in the largest unit that leaves a number from 1: `1.5 GiB`. */
export function formatBytes(bytes: number | undefined): string {
  if (bytes === undefined || !Number.isFinite(bytes)) return "–";
  const step = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** step;
  return `${Number.isInteger(value) ? value : value.toFixed(value < 10 ? 2 : 1).replace(/\.?0+$/, "")} ${UNITS[step]}`;
}

/** A date of the API: RFC 3339, or the old form without a zone, which is read as UTC. */
export function parseDate(text: string | number | undefined): Date | undefined {
  if (text === undefined || text === "") return undefined;
  const old = typeof text === "string" && /^[A-Z][a-z]{2} \d{1,2}, \d{4}/.test(text);
  const date = new Date(old ? `${text} UTC` : text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** A date for a person, in the browser's zone: to the minute, or in full with seconds and zone. */
export function formatDate(text: string | number | undefined, language: string, full = false): string {
  const date = parseDate(text);
  if (!date) return "–";
  return new Intl.DateTimeFormat(language, {
    dateStyle: "medium",
    timeStyle: full ? "long" : "short",
  }).format(date);
}

/** `12s`, `3m 04s`, `2h 10m`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const pad = (n: number) => String(n).padStart(2, "0");
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`;
  return `${Math.floor(seconds / 3600)}h ${pad(Math.floor((seconds % 3600) / 60))}m`;
}

/** `StopVmInstance` as `Stop VM instance`: for operations that have no name of their own in the catalogue. */
export function wordsOf(name: string): string {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .replace(/\b(vm|ip|l2|l3|nic|vip|eip)\b/g, (short) => short.toUpperCase());
  return words.charAt(0).toUpperCase() + words.slice(1);
}
