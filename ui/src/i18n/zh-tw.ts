import { en } from "./en";

export const zhTW: Record<keyof typeof en, string> = en;
