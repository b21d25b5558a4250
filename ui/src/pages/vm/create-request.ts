/** What the create form holds. */
export interface CreateVmValues {
  name: string;
  description?: string;
  instanceOfferingUuid: string;
  imageUuid: string;
  l3NetworkUuids: string[];
  defaultL3NetworkUuid?: string;
  /** Wanted addresses by network. */
  staticIps?: Record<string, string | undefined>;
  hostname?: string;
  sshKey?: string;
  userData?: string;
}

/** The parameters of CreateVmInstance. */
export function paramsOf(values: CreateVmValues) {
  const chosen = values.defaultL3NetworkUuid;
  const standard = chosen && values.l3NetworkUuids.includes(chosen) ? chosen : values.l3NetworkUuids[0];
  const description = values.description?.trim();
  return {
    name: values.name.trim(),
    ...(description ? { description } : {}),
    instanceOfferingUuid: values.instanceOfferingUuid,
    imageUuid: values.imageUuid,
    l3NetworkUuids: values.l3NetworkUuids,
    ...(standard ? { defaultL3NetworkUuid: standard } : {}),
  };
}

/** The system tags of a new VM. Addresses of networks that are no longer chosen are left out. */
export function tagsOf(values: CreateVmValues): string[] {
  const tags: string[] = [];
  for (const uuid of values.l3NetworkUuids) {
    const ip = values.staticIps?.[uuid]?.trim();
    if (ip) tags.push(`staticIp::${uuid}::${ip}`);
  }
  const hostname = values.hostname?.trim();
  if (hostname) tags.push(`hostname::${hostname}`);
  const sshKey = values.sshKey?.trim();
  if (sshKey) tags.push(`sshkey::${sshKey}`);
  if (values.userData?.trim()) tags.push(`userdata::${values.userData}`);
  return tags;
}

const LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
const HOSTNAME = new RegExp(`^${LABEL}(\\.${LABEL})*$`, "i");
const SSH_KEY = /^(ssh-(ed25519|rsa|dss)|ecdsa-sha2-\S+|sk-\S+)\s+[A-Za-z0-9+/=]+/;
const IPV4 = /^((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)$/;
const IPV6 = /^[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*$/i;

export const isHostname = (text: string) => HOSTNAME.test(text);
export const isSshKey = (text: string) => SSH_KEY.test(text);
export const isIp = (text: string) => IPV4.test(text) || IPV6.test(text);
