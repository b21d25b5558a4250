import { render } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { startSession } from "../api/session";
import { CairnApp } from "../app";
import { createRouter } from "../routes";
import { collectTasks } from "../tasks/store";
import { MockCloud } from "./mock-cloud";
import { serveCloud } from "./mock-fetch";

/** Gives the page a session that the cloud knows. */
export function logInMock(cloud: MockCloud): void {
  cloud.sessions.add("test-session");
  startSession({
    uuid: "test-session",
    accountUuid: "36c27e8ff05c4780bf6d2fa65700f22e",
    accountName: "admin",
  });
}

/** The page at an address, logged in, in front of a cloud of its own. */
export function openPage(address: string, cloud = new MockCloud()) {
  serveCloud(cloud);
  logInMock(cloud);
  return { cloud, ...show(address) };
}

/** The page at an address, as it is. */
export function show(address: string) {
  collectTasks();
  const router = createRouter(address);
  render(<CairnApp router={router} />);
  return { router, user: userEvent.setup({ delay: null }) };
}
