import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MockCloud } from "../test/mock-cloud";
import { serveCloud } from "../test/mock-fetch";
import { logInMock } from "../test/render";
import { buildRequest, jobOf, observeJobs } from "./call";
import { ApiError, causeChain, errorBody, NETWORK_ERROR } from "./error";
import {
  createVmInstance,
  destroyVmInstance,
  queryVmInstance,
  startVmInstance,
  stopVmInstance,
} from "./generated";
import { sessionStore } from "./session";

describe("buildRequest", () => {
  it("puts the parameters of a verb under its name and those of the path into the path", () => {
    expect(buildRequest(stopVmInstance.spec, { uuid: "a/b", type: "cold" })).toEqual({
      url: "/zstack/v1/vm-instances/a%2Fb/actions",
      body: '{"stopVmInstance":{"type":"cold"}}',
    });
  });

  it("puts tags beside the parameters", () => {
    const { body } = buildRequest(createVmInstance.spec, { name: "a" }, { systemTags: ["hostname::a"] });
    expect(JSON.parse(body ?? "")).toEqual({ params: { name: "a" }, systemTags: ["hostname::a"] });
  });

  it("repeats lists, spells out maps, escapes a plus and leaves out what is not given", () => {
    const { url } = buildRequest(queryVmInstance.spec, {
      q: ["name~=%a%", "state=Running"],
      sort: "+name",
      start: undefined,
      services: { p1: "DHCP" },
    });
    expect(url).toBe(
      "/zstack/v1/vm-instances?q=name%7E%3D%25a%25&q=state%3DRunning&sort=%2Bname&services.p1=DHCP",
    );
  });
});

it("takes the job from any host's location", () => {
  expect(jobOf("http://10.0.0.5:8080/zstack/v1/api-jobs/9d2f4b6a8c0e41f3a5b7c9d1e3f50718")).toBe(
    "9d2f4b6a8c0e41f3a5b7c9d1e3f50718",
  );
});

it("lists an error and its causes, outermost first", () => {
  const chain = causeChain({ code: "A", cause: { code: "B", causes: [{ code: "C" }, { code: "D" }] } });
  expect(chain.map((one) => one.code)).toEqual(["A", "B", "C", "D"]);
});

describe("against a cloud", () => {
  let cloud: MockCloud;
  const vm = (name: string) => [...cloud.data.vms.values()].find((one) => one.name === name)?.uuid ?? "";
  beforeEach(() => {
    cloud = new MockCloud();
    serveCloud(cloud);
    logInMock(cloud);
  });
  afterEach(() => observeJobs(undefined));

  it("polls a job to its result and reports it", async () => {
    const seen: string[] = [];
    observeJobs({
      started: (job) => seen.push(`started ${job.operation}`),
      succeeded: () => seen.push("succeeded"),
      failed: () => seen.push("failed"),
    });
    const { inventory } = await startVmInstance({ uuid: vm("web-2") });
    expect(inventory?.state).toBe("Running");
    expect(seen).toEqual(["started StartVmInstance", "succeeded"]);
  });

  it("throws the job's error with its code", async () => {
    const failure = await startVmInstance({ uuid: vm("hello") }).catch((thrown: unknown) => thrown);
    expect(failure).toBeInstanceOf(ApiError);
    expect(errorBody(failure)).toMatchObject({ code: "VM.1010", details: "VM hello is Running" });
  });

  it("asks for a plan without changing anything", async () => {
    const plan = await destroyVmInstance.plan({ uuid: vm("hello") });
    expect(plan.steps?.map((step) => step.step)).toEqual(["PowerOff", "MarkDestroyed"]);
    expect(cloud.data.vms.get(vm("hello"))?.state).toBe("Running");
  });

  it("ends the session when the server does not know it any more", async () => {
    cloud.sessions.clear();
    await expect(queryVmInstance({})).rejects.toMatchObject({ code: "ID.1001" });
    expect(sessionStore.get()).toEqual({ session: undefined, expired: true });
  });

  it("goes on polling while the server is away", async () => {
    const reach = globalThis.fetch;
    let away = 2;
    vi.stubGlobal("fetch", (input: string, init?: RequestInit) => {
      if (input.includes("api-jobs") && away-- > 0) return Promise.reject(new TypeError("refused"));
      return reach(input, init);
    });
    const { inventory } = await startVmInstance({ uuid: vm("web-2") });
    expect(inventory?.state).toBe("Running");
  });

  it("says so when the server cannot be reached, and keeps plain-text answers", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("refused")));
    await expect(queryVmInstance({})).rejects.toMatchObject({ code: NETWORK_ERROR });
    vi.stubGlobal("fetch", () => Promise.resolve(new Response("bad query syntax", { status: 400 })));
    await expect(queryVmInstance({})).rejects.toMatchObject({
      code: "HTTP.400",
      message: "bad query syntax",
    });
  });
});
