import type { VmInstanceInventory, VmNicInventory } from "../../api/generated";

/** A VM instance, with what the server adds to every inventory. */
export type Vm = VmInstanceInventory & { allowedActions?: string[]; stateReason?: string };

/** Events after which what is shown of VMs may have changed; the first is the VM itself. */
export const VM_EVENTS = ["VmInstanceVO", "VmNicVO", "VolumeVO"];

export const VM_STATES = [
  "Running",
  "Stopped",
  "Paused",
  "Starting",
  "Stopping",
  "Rebooting",
  "Created",
  "Destroyed",
  "Error",
  "Unknown",
];

/** Addresses of a VM, that of the default network first. */
export function addressesOf(vm: Vm): string[] {
  const isDefault = (nic: VmNicInventory) => nic.l3NetworkUuid === vm.defaultL3NetworkUuid;
  const nics = [...(vm.vmNics ?? [])].sort((a, b) => Number(isDefault(b)) - Number(isDefault(a)));
  return nics.flatMap((nic) => (nic.ip ? [nic.ip] : []));
}
