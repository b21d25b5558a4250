import { isMessageKey, type Translate } from "../i18n";
import { wordsOf } from "../lib/format";

/** `VmInstanceVO` in the reader's language. */
export function entityName(t: Translate, entity: string | undefined): string {
  if (!entity) return "";
  const key = `entity.${entity}`;
  return isMessageKey(key) ? t(key as "entity.VmInstanceVO") : wordsOf(entity.replace(/VO$/, ""));
}

/** `vm.start/1`, a workflow, in the reader's language; a name in words is left as it is. */
export function runName(t: Translate, name = ""): string {
  if (!/^[\w.-]+\/\d+$|^[\w-]+\.[\w-]+$/.test(name)) return name;
  const bare = name.replace(/\/\d+$/, "");
  const key = `workflow.${bare}`;
  return isMessageKey(key) ? t(key as "workflow.vm.start") : wordsOf(bare.replaceAll(/[._-]/g, " "));
}

/** `PowerOff`, a step of a workflow, in the reader's language. */
export function stepName(t: Translate, step: string): string {
  const key = `step.${step}`;
  return isMessageKey(key) ? t(key as "step.Boot") : wordsOf(step);
}

/** A value of the API such as `RootVolumeTemplate` in the reader's language. */
export function valueName(t: Translate, kind: "media", value: string | undefined): string {
  const key = `${kind}.${value}`;
  return isMessageKey(key) ? t(key as "media.ISO") : (value ?? "–");
}

/** A field such as `hostUuid` in the reader's language. */
export function fieldName(t: Translate, field: string): string {
  const bare = field.replace(/Uuids?$/, "") || field;
  const key = `field.${bare}`;
  return isMessageKey(key) ? t(key as "field.state") : wordsOf(bare);
}
