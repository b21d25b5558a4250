import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { sessionStore } from "../../api/session";
import { sha512 } from "../../lib/sha512";
import { openPage } from "../../test/render";

it("log_02 changes the own password, which leaves only as its hash", async () => {
  const { cloud, user } = openPage("/zones");
  await user.click(await screen.findByRole("button", { name: "Account: admin" }));
  await user.click(await screen.findByText("Change password"));
  const dialog = within(await screen.findByRole("dialog"));
  await user.type(dialog.getByLabelText("New password"), "secret-1");
  await user.type(dialog.getByLabelText("New password again"), "secret-2");
  await user.click(dialog.getByRole("button", { name: "Save" }));
  await dialog.findByText("The two passwords differ");
  await user.clear(dialog.getByLabelText("New password again"));
  await user.type(dialog.getByLabelText("New password again"), "secret-1");
  await user.click(dialog.getByRole("button", { name: "Save" }));
  await screen.findByText("The password was changed");
  const call = cloud.calls.find((one) => one.operation === "UpdateAccount");
  expect(call?.params).toMatchObject({ password: sha512(new TextEncoder().encode("secret-1")) });
});

it("log_02 logging out ends the session on the server and in the browser", async () => {
  const { cloud, user } = openPage("/zones");
  await user.click(await screen.findByRole("button", { name: "Account: admin" }));
  await user.click(await screen.findByText("Log out"));
  await screen.findByRole("heading", { name: "Log in" });
  await waitFor(() => expect(cloud.sessions.size).toBe(0));
  expect(sessionStore.get().session).toBeUndefined();
});

it("ops_16 switches the language at once and keeps it", async () => {
  const { user } = openPage("/zones");
  await user.click(await screen.findByRole("button", { name: "Language: English" }));
  await user.click(await screen.findByText("繁體中文"));
  await screen.findByRole("heading", { name: /區域/ });
  expect(localStorage.getItem("cairn.language")).toBe("zh-TW");
  expect(document.documentElement.lang).toBe("zh-TW");
  await user.click(screen.getByRole("button", { name: "語言: 繁體中文" }));
  await user.click(await screen.findByText("English"));
  await screen.findByRole("heading", { name: /Zones/ });
});
