import { en } from "./en";

export const zhCN: Record<keyof typeof en, string> = en;
