import { createHash } from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import { hashPassword, sha512 } from "./sha512";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("sha512", () => {
  it("gives the standard's values", () => {
    expect(sha512(bytes("abc"))).toBe(
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    );
    expect(sha512(bytes(""))).toBe(
      "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    );
  });

  it("agrees with the platform for every length around a block's end", () => {
    for (const length of [1, 55, 110, 111, 112, 113, 127, 128, 129, 239, 240, 241, 256, 1000]) {
      const message = Uint8Array.from({ length }, (_, index) => (index * 7 + length) & 0xff);
      expect(sha512(message)).toBe(createHash("sha512").update(message).digest("hex"));
    }
  });
});

describe("hashPassword", () => {
  const example =
    "3bb12eda3c298db5de25597f54d924f2e17e78a26ad8953ed8218ee682f0bbbe9021e2f3009d152c911bf1f25ec683a902714166767afbd8e5bd0fb0124ecb8a";

  it("is what the API expects, with and without a secure context", async () => {
    expect(await hashPassword("example")).toBe(example);
    vi.stubGlobal("crypto", {});
    expect(await hashPassword("example")).toBe(example);
    expect(await hashPassword("пароль 密码")).toBe(createHash("sha512").update("пароль 密码").digest("hex"));
  });
});
