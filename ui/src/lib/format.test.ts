import { expect, it } from "vitest";
import { formatBytes, formatDuration, parseDate, wordsOf } from "./format";

it.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1 KiB"],
  [1536, "1.5 KiB"],
  [512 * 1024 ** 2, "512 MiB"],
  [10.25 * 1024 ** 3, "10.3 GiB"],
  [undefined, "–"],
])("%s bytes are shown as %s", (bytes, shown) => expect(formatBytes(bytes)).toBe(shown));

it("reads both date forms of the API as the same moment", () => {
  expect(parseDate("Jan 2, 2018 3:04:05 PM")?.toISOString()).toBe("2018-01-02T15:04:05.000Z");
  expect(parseDate("2018-01-02T15:04:05Z")?.toISOString()).toBe("2018-01-02T15:04:05.000Z");
  expect(parseDate("")).toBeUndefined();
  expect(parseDate("nonsense")).toBeUndefined();
});

it("shows durations in the unit that fits", () => {
  expect([900, 61_000, 7_260_000].map(formatDuration)).toEqual(["0s", "1m 01s", "2h 01m"]);
});

it("makes words of names", () => {
  expect(wordsOf("StopVmInstance")).toBe("Stop VM instance");
  expect(wordsOf("MarkRunning")).toBe("Mark running");
});
