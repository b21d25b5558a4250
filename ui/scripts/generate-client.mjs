// Writes src/api/generated.ts from the OpenAPI document of the server.
//
//   node scripts/generate-client.mjs            write the file
//   node scripts/generate-client.mjs --check    fail when the file is stale
//   node scripts/generate-client.mjs IN OUT     other files (tests use it)
//
// The input is docs/openapi.json of the repository; until a server has written that, openapi/sample.json.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ui = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const METHODS = ["get", "post", "put", "delete"];
const TAGS = ["systemTags", "userTags"];

/** Follows one `$ref` inside the document. */
function deref(doc, node) {
  if (!node?.$ref) return node;
  return node.$ref
    .replace(/^#\//, "")
    .split("/")
    .reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], doc);
}

const refName = (ref) => typeName(ref.split("/").pop());
const typeName = (name) => name.replace(/[^A-Za-z0-9_]/g, "_");
const key = (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
const functionName = (name) => name.charAt(0).toLowerCase() + name.slice(1);
const comment = (text, indent = "") =>
  text
    ? `${indent}/** ${String(text)
        .trim()
        .replace(/\s*\n\s*/g, " ")
        .replaceAll("*/", "*\\/")} */\n`
    : "";

/** The TypeScript type of a JSON schema. */
function tsType(schema, indent) {
  if (schema === undefined || schema === true) return "unknown";
  if (schema.$ref) return refName(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const some = schema.oneOf ?? schema.anyOf;
  if (some) return some.map((part) => tsType(part, indent)).join(" | ");
  if (schema.allOf) return schema.allOf.map((part) => tsType(part, indent)).join(" & ");
  if (Array.isArray(schema.type))
    return schema.type.map((type) => tsType({ ...schema, type }, indent)).join(" | ");
  switch (schema.type) {
    case "string":
      return "string";
    case "integer":
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "null":
      return "null";
    case "array": {
      const item = tsType(schema.items, indent);
      return /^[\w.]+$/.test(item) ? `${item}[]` : `Array<${item}>`;
    }
    default:
      break;
  }
  if (schema.properties) return objectType(schema, indent);
  if (schema.additionalProperties && schema.additionalProperties !== true)
    return `Record<string, ${tsType(schema.additionalProperties, indent)}>`;
  return schema.type === "object" ? "Record<string, unknown>" : "unknown";
}

/** An object type. The API leaves absent fields out, so only what is required is not optional. */
function objectType(schema, indent = "", alwaysThere = []) {
  const required = new Set([...(schema.required ?? []), ...alwaysThere]);
  const entries = Object.entries(schema.properties ?? {});
  if (entries.length === 0) return "Record<string, never>";
  const inner = `${indent}  `;
  const lines = entries.map(
    ([name, field]) =>
      `${comment(field.description, inner)}${inner}${key(name)}${required.has(name) ? "" : "?"}: ${tsType(field, inner)};\n`,
  );
  return `{\n${lines.join("")}${indent}}`;
}

function schemaDeclaration(name, schema) {
  const head = comment(schema.description);
  if (schema.properties && !schema.allOf && !schema.oneOf && !schema.anyOf) {
    // An inventory is a stored row: it always has its uuid, also where the document does not say so.
    const always = name.endsWith("Inventory") && schema.properties.uuid ? ["uuid"] : [];
    return `${head}export interface ${typeName(name)} ${objectType(schema, "", always)}\n`;
  }
  return `${head}export type ${typeName(name)} = ${tsType(schema, "")};\n`;
}

/** The key of the body that holds the parameters, and its schema. */
function bodyOf(doc, op, verb) {
  const schema = deref(doc, deref(doc, op.requestBody)?.content?.["application/json"]?.schema);
  const properties = schema?.properties ?? {};
  const names = Object.keys(properties).filter((name) => !TAGS.includes(name));
  const bodyKey = verb ?? (names.includes("params") ? "params" : names[0]);
  return { bodyKey, schema: deref(doc, properties[bodyKey]) };
}

/** The result: the answer 200, which for a job is what polling ends with. */
function resultOf(doc, op) {
  const direct = op["x-cairn-result"] ?? op["x-cairn-job-result"];
  if (direct) return direct.schema ?? direct;
  return deref(doc, op.responses?.["200"])?.content?.["application/json"]?.schema;
}

function readOperation(doc, path, method, op) {
  const [address, verb] = path.split("#");
  const base = (doc.servers?.[0]?.url ?? "").replace(/\/$/, "");
  const all = (op.parameters ?? []).map((parameter) => deref(doc, parameter));
  const body = method === "get" || method === "delete" ? {} : bodyOf(doc, op, verb);
  const pathNames = [...address.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
  const properties = {};
  const required = new Set(body.schema?.required ?? []);
  for (const name of pathNames) properties[name] = { type: "string" };
  for (const parameter of all.filter((one) => one.in === "path" || one.in === "query")) {
    properties[parameter.name] = { description: parameter.description, ...(parameter.schema ?? {}) };
    if (parameter.required) required.add(parameter.name);
  }
  for (const name of pathNames) required.add(name);
  for (const [name, field] of Object.entries(body.schema?.properties ?? {}))
    if (!pathNames.includes(name)) properties[name] = field;
  return {
    name: op.operationId,
    method: method.toUpperCase(),
    path: base + address,
    bodyKey: body.bodyKey,
    job:
      op["x-cairn-job"] === true || (op.responses?.["202"] !== undefined && op["x-cairn-job"] === undefined),
    open: Array.isArray(op.security) && op.security.length === 0,
    text: op.summary ?? op.description,
    params: { type: "object", properties, required: [...required] },
    result: resultOf(doc, op),
  };
}

function operationDeclaration(op) {
  const spec = [`name: "${op.name}"`, `method: "${op.method}"`, `path: "${op.path}"`];
  if (op.bodyKey !== undefined) spec.push(`bodyKey: ${JSON.stringify(op.bodyKey)}`);
  if (op.job) spec.push("job: true");
  if (op.open) spec.push("open: true");
  return (
    comment(op.text) +
    `export const ${functionName(op.name)} = /*#__PURE__*/ operation<"${op.name}", Operations["${op.name}"]>({\n  ${spec.join(", ")},\n});\n`
  );
}

/** The text of the generated file. */
export function generate(doc, source) {
  const operations = [];
  for (const [path, item] of Object.entries(doc.paths ?? {}))
    for (const method of METHODS)
      if (item[method]?.operationId) operations.push(readOperation(doc, path, method, item[method]));
  operations.sort((a, b) => (a.name < b.name ? -1 : 1));
  const table = operations.map(
    (op) => `  ${op.name}: { params: ${tsOf(op.params)}; result: ${tsOf(op.result)} };\n`,
  );
  return [
    `// Generated by scripts/generate-client.mjs from ${source}. Do not edit: run \`npm run generate\`.\n`,
    `import { operation } from "./operation";\n`,
    ...Object.entries(doc.components?.schemas ?? {}).map(([name, schema]) => schemaDeclaration(name, schema)),
    `/** Parameters and result of every operation, by name. */\nexport interface Operations {\n${table.join("")}}\n`,
    ...operations.map(operationDeclaration),
    `/** Every operation; for the mock server, so the page itself should not import it. */\nexport const allOperations = /*#__PURE__*/ [\n${operations.map((op) => `  ${functionName(op.name)},\n`).join("")}] as const;\n`,
  ].join("\n");
}

function tsOf(schema) {
  if (schema?.properties && !schema.$ref) return objectType(schema, "  ");
  return schema ? tsType(schema, "  ") : "Record<string, unknown>";
}

function main() {
  const args = process.argv.slice(2).filter((arg) => arg !== "--check");
  const real = resolve(ui, "../docs/openapi.json");
  const input = args[0] ? resolve(args[0]) : existsSync(real) ? real : resolve(ui, "openapi/sample.json");
  const output = args[1] ? resolve(args[1]) : resolve(ui, "src/api/generated.ts");
  const text = generate(JSON.parse(readFileSync(input, "utf8")), relative(resolve(ui, ".."), input));
  if (process.argv.includes("--check")) {
    if (existsSync(output) && readFileSync(output, "utf8") === text) return;
    console.error(`${relative(ui, output)} is stale: run npm run generate`);
    process.exit(1);
  }
  writeFileSync(output, text);
  console.log(`${relative(ui, output)} written from ${relative(ui, input)}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) main();
