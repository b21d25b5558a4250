import type { ImageInventory } from "../../api/generated";
import { RUN_EVENT, type Run, type RunState } from "../../api/runs";
import { sha512 } from "../../lib/sha512";
import { type MockCloud, Refusal } from "./cloud";
import { at, newUuid } from "./data";
import type { Handlers } from "./handlers";
import { answerQuery } from "./query";

export const MOCK_ACCOUNT = { name: "admin", password: "password" };
const ADMIN_UUID = "36c27e8ff05c4780bf6d2fa65700f22e";

/** Login, names, and the lists that only need their rows. */
export function readHandlers(cloud: MockCloud): Handlers {
  const { data } = cloud;
  return {
    LogInByAccount: ({ accountName, password }) => {
      const wanted = sha512(new TextEncoder().encode(MOCK_ACCOUNT.password));
      if (accountName !== MOCK_ACCOUNT.name || password !== wanted)
        throw new Refusal({
          code: "ID.1000",
          description: "Authentication failed",
          details: "Wrong account name or password",
        });
      const uuid = newUuid();
      cloud.sessions.add(uuid);
      return {
        inventory: {
          uuid,
          accountUuid: ADMIN_UUID,
          userUuid: ADMIN_UUID,
          createDate: at(0),
          expiredDate: at(-120),
        },
      };
    },
    LogOut: ({ sessionUuid }) => {
      cloud.sessions.delete(sessionUuid);
      return {};
    },
    UpdateAccount: ({ uuid }) => ({ inventory: { uuid: uuid ?? ADMIN_UUID, name: MOCK_ACCOUNT.name } }),
    GetVersion: () => ({ version: "2.2.4" }),
    GetResourceNames: ({ uuids }) => ({
      inventories: named(cloud)
        .filter((one) => uuids.includes(one.uuid))
        .map(({ uuid, name }) => ({ uuid, resourceName: name ?? uuid })),
    }),
    QueryInstanceOffering: (params) => answerQuery(data.offerings, params),
    QueryImage: (params) => answerQuery<ImageInventory>(data.images, params),
    QueryL3Network: (params) => answerQuery(data.networks, params),
    QueryZone: (params) => answerQuery(data.zones, params),
    QueryCluster: (params) => answerQuery(data.clusters, params),
    QueryHost: (params) => answerQuery(data.hosts, params),
    QuerySystemTag: (params) => answerQuery(data.systemTags, params),
    QueryUserTag: (params) => answerQuery(data.userTags, params),
    QueryCairnRun: (params) => answerQuery(data.runs.map(withActions), params),
    RetryRun: ({ uuid }) => changeRun(cloud, uuid, { state: "Undoing" }),
    AbandonRun: ({ uuid }) => changeRun(cloud, uuid, { state: "Failed" }),
    CancelRun: ({ uuid }) => changeRun(cloud, uuid, { state: "Undoing" }),
    CreateUserTag: ({ resourceType, resourceUuid, tag }) => {
      const inventory = { uuid: newUuid(), resourceType, resourceUuid, tag, type: "User", createDate: at(0) };
      data.userTags.push(inventory);
      cloud.emit("UserTagVO", inventory.uuid, "created");
      return { inventory };
    },
    DeleteTag: ({ uuid }) => {
      data.userTags = data.userTags.filter((tag) => tag.uuid !== uuid);
      cloud.emit("UserTagVO", uuid, "deleted");
      return {};
    },
    GetFreeIpOfL3Network: ({ l3NetworkUuid, limit }) => {
      const range = data.networks.find((one) => one.uuid === l3NetworkUuid)?.ipRanges?.[0];
      const prefix = range?.startIp?.replace(/\d+$/, "") ?? "";
      const inventories = Array.from({ length: Number(limit ?? 5) }, (_, index) => ({
        ip: `${prefix}${20 + index}`,
        ...(range ? { ipRangeUuid: range.uuid } : {}),
      }));
      return { inventories };
    },
  };
}

function named({ data }: MockCloud): { uuid: string; name?: string }[] {
  return [
    ...data.vms.values(),
    ...data.offerings,
    ...data.images,
    ...data.networks,
    ...data.zones,
    ...data.clusters,
    ...data.hosts,
  ];
}

const RUN_ACTIONS: Partial<Record<RunState, string[]>> = {
  Running: ["CancelRun"],
  Stuck: ["RetryRun", "AbandonRun"],
};

const withActions = (run: Run): Run => ({ ...run, allowedActions: RUN_ACTIONS[run.state ?? "Done"] ?? [] });

function changeRun(cloud: MockCloud, uuid: string, change: { state: "Undoing" | "Failed" }) {
  const run = cloud.data.runs.find((one) => one.uuid === uuid);
  if (!run) throw new Refusal({ code: "SYS.1003", details: `no run ${uuid}` });
  Object.assign(run, change);
  cloud.emit(RUN_EVENT, uuid, "updated", { ...change, resourceUuid: run.resourceUuid });
  return { inventory: run };
}
