import { createStore } from "../lib/store";

/** Who is logged in. `uuid` is the token of the API. */
export interface Session {
  uuid: string;
  accountUuid: string;
  accountName: string;
}

const KEY = "cairn.session";

function read(): Session | undefined {
  try {
    const text = localStorage.getItem(KEY);
    const session = text ? (JSON.parse(text) as Partial<Session>) : undefined;
    return session?.uuid && session.accountUuid ? ({ accountName: "", ...session } as Session) : undefined;
  } catch {
    return undefined;
  }
}

/** The session of this browser; shared with its other windows, so that a console can open in its own. */
export const sessionStore = createStore<{ session?: Session; expired: boolean }>({
  session: read(),
  expired: false,
});

export function startSession(session: Session): void {
  localStorage.setItem(KEY, JSON.stringify(session));
  sessionStore.set({ session, expired: false });
}

/** Forgets the session. `expired` says that the server ended it, which the login screen tells. */
export function endSession(expired = false): void {
  localStorage.removeItem(KEY);
  sessionStore.set({ session: undefined, expired });
}

/** Follows logins and logouts in other windows. */
export function followOtherWindows(): () => void {
  const onStorage = (event: StorageEvent) => {
    if (event.key === KEY || event.key === null) sessionStore.set({ session: read(), expired: false });
  };
  window.addEventListener("storage", onStorage);
  return () => window.removeEventListener("storage", onStorage);
}
