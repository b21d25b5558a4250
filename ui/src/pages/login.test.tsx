import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { endSession, sessionStore } from "../api/session";
import { MOCK_ACCOUNT, MockCloud } from "../test/mock-cloud";
import { serveCloud } from "../test/mock-fetch";
import { show } from "../test/render";

async function fill(user: ReturnType<typeof show>["user"], password: string) {
  await user.type(await screen.findByLabelText("Account name"), MOCK_ACCOUNT.name);
  await user.type(screen.getByLabelText("Password"), password);
  await user.click(screen.getByRole("button", { name: "Log in" }));
}

it("log_01 sends only the hash of the password and opens the page that was asked for", async () => {
  endSession();
  const cloud = new MockCloud();
  serveCloud(cloud);
  const { user, router } = show("/hosts");
  await fill(user, MOCK_ACCOUNT.password);
  await screen.findByRole("heading", { name: /Hosts/ });
  expect(router.state.location.pathname).toBe("/hosts");
  const call = cloud.calls.find((one) => one.operation === "LogInByAccount");
  expect(call?.params).toMatchObject({ password: expect.stringMatching(/^[0-9a-f]{128}$/) });
});

it("log_01 wrong password shows the server's error with its code", async () => {
  endSession();
  serveCloud(new MockCloud());
  const { user } = show("/login");
  await fill(user, "wrong");
  const alert = await screen.findByRole("alert");
  expect(alert).toHaveProperty("textContent", expect.stringContaining("ID.1000"));
  expect(alert.textContent?.match(/wrong/gi), "said once").toHaveLength(1);
  expect(sessionStore.get().session).toBeUndefined();
});

it("log_02 an ended session leads back to the login and says so", async () => {
  endSession();
  const cloud = new MockCloud();
  serveCloud(cloud);
  const { user } = show("/vms");
  await fill(user, MOCK_ACCOUNT.password);
  await screen.findByText("hello");
  cloud.sessions.clear();
  await user.click(screen.getByRole("button", { name: "Read again" }));
  await screen.findByText(/Your session has ended/);
  await waitFor(() => expect(screen.queryByText("hello")).toBeNull());
});

it("a missing account name is said at its field", async () => {
  endSession();
  serveCloud(new MockCloud());
  const { user } = show("/login");
  await user.click(await screen.findByRole("button", { name: "Log in" }));
  await screen.findByText("Enter the name of your account");
});
