import { useCallback } from "react";
import { en } from "./en";
import { type Language, useLanguage } from "./language";
import { zhCN } from "./zh-cn";
import { zhTW } from "./zh-tw";

export { LANGUAGES, type Language, language, setLanguage, useLanguage } from "./language";

/** Every message of the page. English is the source: the other catalogues must have the same keys. */
export type MessageKey = keyof typeof en;
export type Catalogue = Readonly<Record<MessageKey, string>>;

export const catalogues: Readonly<Record<Language, Catalogue>> = { en, "zh-CN": zhCN, "zh-TW": zhTW };

/** The names in braces in a message. */
type Names<S extends string> = S extends `${string}{${infer Name}}${infer Rest}` ? Name | Names<Rest> : never;

/** Messages without names in braces: what a title may be. */
export type TitleKey = { [K in MessageKey]: [Names<(typeof en)[K]>] extends [never] ? K : never }[MessageKey];

/** What `t` takes after the key: nothing, or a value for every name in the message. */
export type Values<K extends MessageKey> = [Names<(typeof en)[K]>] extends [never]
  ? []
  : [values: Record<Names<(typeof en)[K]>, string | number>];

export type Translate = <K extends MessageKey>(key: K, ...values: Values<K>) => string;

/** Renders one message. */
export function translate<K extends MessageKey>(of: Language, key: K, ...values: Values<K>): string {
  const given = values[0] as Record<string, string | number> | undefined;
  return catalogues[of][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(given?.[name] ?? whole));
}

/** The translator of the chosen language. */
export function useT(): Translate {
  const chosen = useLanguage();
  return useCallback<Translate>((key, ...values) => translate(chosen, key, ...values), [chosen]);
}

/** Whether a computed key is in the catalogue. */
export const isMessageKey = (key: string): key is MessageKey => Object.hasOwn(en, key);
