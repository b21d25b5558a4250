//! VM instances, instance offerings and consoles.

crate::operations! {
    /// Stop a running VM instance. Done when the guest is off.
    StopVmInstance: PUT "/vm-instances/{uuid}/actions" => "stopVmInstance", cli "vm stop" {
        /// VM instance to stop.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
        /// `grace` asks the guest and powers off after `vm.stopTimeout`; `cold` powers off at once.
        r#type: Option<String> => [values(&["grace", "cold"]), default("grace")];
        /// Keep the VM stopped although high availability would start it again.
        stop_ha as "stopHA": Option<String> => [values(&["true"])];
    } -> job VmInstanceInventory, rbac("instance");

    /// List VM instances.
    QueryVmInstance: GET "/vm-instances", cli "vm list" {
    } -> query VmInstanceInventory, also(&["/vm-instances/{uuid}"]), read("instance");
}
