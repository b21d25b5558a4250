import { expect, it } from "vitest";
import { catalogues, type MessageKey, translate } from "./index";
import { pickLanguage } from "./language";

const names = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort();
const { en, ...others } = catalogues;

it.each(Object.entries(others))("%s has every message, with the same names to fill in", (_, catalogue) => {
  expect(Object.keys(catalogue).sort()).toEqual(Object.keys(en).sort());
  for (const key of Object.keys(en) as MessageKey[]) {
    expect(names(catalogue[key]), key).toEqual(names(en[key]));
    expect(catalogue[key].trim(), key).not.toBe("");
  }
});

it("fills in values", () => {
  expect(translate("en", "list.total", { from: 1, to: 20, total: 41 })).toBe("1–20 of 41");
  expect(translate("zh-TW", "vm.cores", { count: 2 })).toBe("2 核心");
});

it.each([
  [["zh-HK", "en"], "zh-TW"],
  [["zh-Hant-TW"], "zh-TW"],
  [["zh"], "zh-CN"],
  [["de-DE", "zh-CN"], "zh-CN"],
  [["fr"], "en"],
  [[], "en"],
])("a browser that asks for %j gets %s", (wanted, given) => expect(pickLanguage(wanted)).toBe(given));
