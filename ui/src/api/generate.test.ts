import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
// @ts-expect-error the generator is a plain script
import { generate } from "../../scripts/generate-client.mjs";

const sample = JSON.parse(readFileSync("openapi/sample.json", "utf8"));
const text: string = generate(sample, "sample");
const operation = (name: string) => new RegExp(`export const ${name} = [^;]*;`).exec(text)?.[0] ?? "";

it("reads the verb of a PUT from the fragment of its path", () => {
  expect(operation("stopVmInstance")).toContain(
    'method: "PUT", path: "/zstack/v1/vm-instances/{uuid}/actions", bodyKey: "stopVmInstance", job: true',
  );
});

it("knows calls without a session, jobs, and calls without a body", () => {
  expect(operation("logInByAccount")).toContain("open: true");
  expect(operation("logInByAccount")).not.toContain("job");
  expect(operation("destroyVmInstance")).toContain('method: "DELETE"');
  expect(operation("destroyVmInstance")).not.toContain("bodyKey");
});

it("makes types of schemas, references and values to choose from", () => {
  expect(text).toContain("export interface VmInstanceInventory {");
  expect(text).toMatch(/vmNics\?: VmNicInventory\[\]/);
  expect(text).toMatch(/StopVmInstance: \{ params: \{\s+uuid: string;\s+type\?: "grace" \| "cold"/);
});

it("takes bodies and answers behind references, and address of a repeated call by its own name", () => {
  const schema = { type: "object", properties: { params: { $ref: "#/components/schemas/P" } } };
  const doc = {
    paths: {
      "/v1/things": {
        post: {
          operationId: "CreateThing",
          requestBody: { content: { "application/json": { schema: { $ref: "#/components/schemas/Body" } } } },
          responses: { "202": { description: "started" } },
          "x-cairn-result": { $ref: "#/components/schemas/ThingInventory" },
        },
      },
      "/v1/things/{uuid}": { get: { operationId: "QueryThingByUuid", responses: {} } },
    },
    components: {
      schemas: {
        Body: schema,
        P: { type: "object", required: ["name"], properties: { name: { type: ["string", "null"] } } },
        ThingInventory: { type: "object", properties: { uuid: { type: "string" } } },
      },
    },
  };
  const made: string = generate(doc, "test");
  expect(made).toMatch(/CreateThing: \{ params: \{\s+name: string \| null;\s+\}; result: ThingInventory \};/);
  expect(made).toContain('name: "QueryThingByUuid", method: "GET", path: "/v1/things/{uuid}"');
  expect(made).toMatch(/bodyKey: "params", job: true/);
});
