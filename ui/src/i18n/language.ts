import { createStore, useStore } from "../lib/store";

export const LANGUAGES = { en: "English", "zh-CN": "简体中文", "zh-TW": "繁體中文" } as const;
export type Language = keyof typeof LANGUAGES;

const KEY = "cairn.language";

/** The language of the page for a browser that asks for these. */
export function pickLanguage(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    if (/^zh-(tw|hk|mo|hant)/i.test(tag)) return "zh-TW";
    if (/^zh/i.test(tag)) return "zh-CN";
    if (/^en/i.test(tag)) return "en";
  }
  return "en";
}

function initial(): Language {
  const kept = localStorage.getItem(KEY);
  return kept !== null && kept in LANGUAGES ? (kept as Language) : pickLanguage(navigator.languages ?? []);
}

const languageStore = createStore<Language>(initial());

export const language = (): Language => languageStore.get();
export const useLanguage = (): Language => useStore(languageStore);

/** Switches the page at once, and for later visits. */
export function setLanguage(next: Language): void {
  localStorage.setItem(KEY, next);
  languageStore.set(next);
}
