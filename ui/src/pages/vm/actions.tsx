import {
  CaretRightOutlined,
  CodeOutlined,
  DeleteOutlined,
  PauseOutlined,
  PlayCircleOutlined,
  PoweroffOutlined,
  ReloadOutlined,
  RestOutlined,
  UndoOutlined,
} from "@ant-design/icons";
import {
  destroyVmInstance,
  expungeVmInstance,
  pauseVmInstance,
  rebootVmInstance,
  recoverVmInstance,
  resumeVmInstance,
  startVmInstance,
  stopVmInstance,
} from "../../api/generated";
import type { ResourceAction } from "../../components/actions";
import type { Vm } from "./model";

const name = (vm: Vm) => (vm.name ? { resourceName: vm.name } : {});

/** The address of a VM's console. */
export const consolePath = (uuid: string) => `/vms/${uuid}/console`;

/** Everything that can be done to a VM, in the order of the menu. */
export const vmActions: readonly ResourceAction<Vm>[] = [
  {
    operation: "StartVmInstance",
    icon: <CaretRightOutlined aria-hidden />,
    batch: true,
    run: (vm) => startVmInstance({ uuid: vm.uuid }, name(vm)),
  },
  {
    operation: "StopVmInstance",
    icon: <PoweroffOutlined aria-hidden />,
    batch: true,
    confirm: true,
    run: (vm) => stopVmInstance({ uuid: vm.uuid }, name(vm)),
    plan: (vm) => stopVmInstance.plan({ uuid: vm.uuid }),
  },
  {
    operation: "RebootVmInstance",
    icon: <ReloadOutlined aria-hidden />,
    batch: true,
    confirm: true,
    run: (vm) => rebootVmInstance({ uuid: vm.uuid }, name(vm)),
    plan: (vm) => rebootVmInstance.plan({ uuid: vm.uuid }),
  },
  {
    operation: "RequestConsoleAccess",
    icon: <CodeOutlined aria-hidden />,
    run: async (vm) => window.open(consolePath(vm.uuid), `console-${vm.uuid}`),
    quiet: true,
  },
  {
    operation: "PauseVmInstance",
    icon: <PauseOutlined aria-hidden />,
    run: (vm) => pauseVmInstance({ uuid: vm.uuid }, name(vm)),
  },
  {
    operation: "ResumeVmInstance",
    icon: <PlayCircleOutlined aria-hidden />,
    run: (vm) => resumeVmInstance({ uuid: vm.uuid }, name(vm)),
  },
  {
    operation: "RecoverVmInstance",
    icon: <UndoOutlined aria-hidden />,
    onlyWhenAllowed: true,
    run: (vm) => recoverVmInstance({ uuid: vm.uuid }, name(vm)),
  },
  {
    operation: "DestroyVmInstance",
    icon: <DeleteOutlined aria-hidden />,
    danger: true,
    batch: true,
    confirm: true,
    run: (vm) => destroyVmInstance({ uuid: vm.uuid }, name(vm)),
    plan: (vm) => destroyVmInstance.plan({ uuid: vm.uuid }),
  },
  {
    operation: "ExpungeVmInstance",
    icon: <RestOutlined aria-hidden />,
    danger: true,
    onlyWhenAllowed: true,
    confirm: true,
    run: (vm) => expungeVmInstance({ uuid: vm.uuid }, name(vm)),
    plan: (vm) => expungeVmInstance.plan({ uuid: vm.uuid }),
  },
];
