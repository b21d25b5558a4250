//! Error codes: stable, documented, never reused. Those below 8000 are the codes of the ZStack 2.2 API; ours start at 8000.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => { $(
        #[doc = concat!("`", $code, "`")]
        pub const $name: &str = $code;
    )* };
}

codes! {
    INTERNAL = "SYS.1000";
    TIMEOUT = "SYS.1001";
    RESOURCE_NOT_FOUND = "SYS.1003";
    OPERATION_ERROR = "SYS.1006";
    INVALID_ARGUMENT = "SYS.1007";
    NOT_READY = "SYS.1010";
    AUTHENTICATION = "ID.1000";
    INVALID_SESSION = "ID.1001";
    PERMISSION_DENIED = "ID.1002";
    QUOTA_EXCEEDING = "ID.1003";
    QUOTA_INVALID = "ID.1004";
    TOO_MANY_TRIES = "ID.8000";
    ACCESS_KEY = "ID.8001";
    DUPLICATED_TAG = "TAG.1000";
    VM_CREATE = "VM.1000";
    VM_START = "VM.1001";
    VM_STOP = "VM.1002";
    VM_REBOOT = "VM.1003";
    VM_DESTROY = "VM.1004";
    VM_NOT_IN_STATE = "VM.1010";
    VM_PAUSE = "VM.1012";
    VM_RESUME = "VM.1013";
    VM_BUSY = "VM.8000";
    VM_HOST_LOST = "VM.8001";
    NO_AVAILABLE_HOST = "HOST_ALLOCATION.1000";
    HOST_ADD = "HOST.1000";
    HOST_RECONNECT = "HOST.1002";
    HOST_CONNECTION = "HOST.1003";
    HOST_DISCONNECTED = "HOST.1010";
    HOST_GC_ELIGIBLE = "HOST.1011";
    HOST_SSH_LOGIN = "HOST.8000";
    HOST_SSH_UNREACHABLE = "HOST.8001";
    HOST_SSH_NOT_ROOT = "HOST.8002";
    HOST_UNSUPPORTED = "HOST.8003";
    HOST_NO_CALLBACK = "HOST.8004";
    HOST_PACKAGES = "HOST.8005";
    HOST_NO_VIRTUALISATION = "HOST.8006";
    HOST_DUPLICATE = "HOST.8007";
    HOST_PROTOCOL = "HOST.8008";
    HOST_AGENT_TAKEN = "HOST.8009";
    AGENT_OLD_EPOCH = "AGENT.8000";
    AGENT_UNKNOWN_COMMAND = "AGENT.8001";
    AGENT_HYPERVISOR = "AGENT.8002";
    AGENT_STORAGE = "AGENT.8003";
    AGENT_NETWORK = "AGENT.8004";
    AGENT_NO_SPACE = "AGENT.8005";
    AGENT_LIBVIRTD = "AGENT.8006";
    AGENT_WRONG_TARGET = "AGENT.8007";
    AGENT_STALE = "AGENT.8008";
    PS_ALLOCATE = "PS.1000";
    PS_ATTACH = "PS.1001";
    PS_DETACH = "PS.1002";
    PS_DISCONNECTED = "PS.1003";
    BS_DOWNLOAD = "BS.1000";
    BS_ATTACH = "BS.1001";
    BS_DETACH = "BS.1002";
    BS_ALLOCATE = "BS.1003";
    BS_CONNECT = "BS.1500";
    L2_ATTACH = "L2.1000";
    L3_ALLOCATE_IP = "L3.1000";
    IMAGE_CORRUPT = "IMG.8000";
    IMAGE_BACKING_FILE = "IMG.8001";
    IMAGE_URL_REFUSED = "IMG.8002";
    IMAGE_SERVER = "IMG.8003";
    IMAGE_TOO_LARGE = "IMG.8004";
    IMAGE_CHECKSUM = "IMG.8005";
    IMAGE_UPLOAD_LATE = "IMG.8006";
    IMAGE_UPLOAD_SIZE = "IMG.8007";
    RUN_CANCELLED = "RUN.8000";
    RUN_DEADLINE = "RUN.8001";
    RUN_STUCK = "RUN.8002";
    RUN_STATE = "RUN.8003";
    RUN_SERVER_STOPPED = "RUN.8004";
    RUN_CIRCLE = "RUN.8005";
    QUERY_TOO_DEEP = "QUERY.8000";
    STORE = "STORE.8000";
    STORE_FULL = "STORE.8001";
    STORE_UNREACHABLE = "STORE.8002";
    STORE_UNCERTAIN = "STORE.8003";
    DELETING = "RES.8000";
    IN_USE = "RES.8001";
    UUID_TAKEN = "RES.8002";
    JOB_TAKEN = "API.8000";
    CERTIFICATE = "CERT.8000";
}

/// What a code means, in one sentence; the `description` of an error. Empty for an unknown code.
pub fn meaning(code: &str) -> &'static str {
    CODES.binary_search_by(|(c, _)| c.cmp(&code)).map_or("", |i| CODES[i].1)
}

/// Every code with its meaning, sorted by code.
pub const CODES: &[(&str, &str)] = &[
    ("AGENT.8000", "the agent refused a command of a server that no longer owns the host"),
    ("AGENT.8001", "the agent does not know the command"),
    ("AGENT.8002", "the hypervisor refused or failed"),
    ("AGENT.8003", "a storage command failed on the host"),
    ("AGENT.8004", "a network command failed on the host"),
    ("AGENT.8005", "the host has no room left on the storage"),
    ("AGENT.8006", "libvirtd on the host does not answer"),
    ("AGENT.8007", "the target of the command is not served by this agent"),
    (
        "AGENT.8008",
        "the command reached the agent when nobody waited for it any more, and was not carried out",
    ),
    ("ALIYUN.1000", "the cloud provider returned an error"),
    ("ALIYUN.1001", "no such cloud instance on record"),
    ("ALIYUN.1002", "no such cloud instance at the provider"),
    ("ALIYUN.1003", "cloud instance parameters are invalid"),
    ("ALIYUN.1004", "no such instance offering"),
    ("ALIYUN.1005", "no such cloud image on record"),
    ("ALIYUN.1006", "the image is larger than the provider allows"),
    ("ALIYUN.1007", "the provider has nothing like this instance offering"),
    ("ALIYUN.1008", "no matching instance type in that availability zone"),
    ("ALIYUN.1009", "the provider access key is invalid"),
    ("ALIYUN.1010", "the data centre has no object-storage bucket attached"),
    ("ALIYUN.1011", "no such cloud route table"),
    ("ALIYUN.1012", "router interface not found"),
    ("ALIYUN.1013", "no such border router"),
    ("ALIYUN.1014", "virtual router not found"),
    ("ALIYUN.1015", "no such cloud VPC"),
    ("ALIYUN.1016", "the router interfaces do not belong together"),
    ("ALIYUN.1017", "no such object-storage bucket"),
    ("ALIYUN.1018", "that availability zone is not supported"),
    ("ALIYUN.1019", "the resource status does not allow the operation"),
    ("ALIYUN.1020", "the image import did not succeed"),
    ("ALIYUN.1021", "that action is not supported for cloud instances"),
    ("API.8000", "the job id is in use already"),
    ("APPLIANCE_VM.1000", "the address meant for the appliance VM management NIC is already in use"),
    ("APPLIANCE_VM.1001", "an appliance VM did not start"),
    ("BAREMETAL.1000", "packages needed for network boot could not be installed"),
    ("BAREMETAL.1001", "firewall rules for the boot server could not be set"),
    ("BAREMETAL.1002", "the TFTP service could not be made ready"),
    ("BAREMETAL.1003", "the FTP service could not be made ready"),
    ("BAREMETAL.1010", "no chassis with that uuid"),
    ("BAREMETAL.1011", "the chassis could not be created"),
    ("BAREMETAL.1100", "the DHCP configuration could not be written"),
    ("BAREMETAL.1101", "the FTP configuration could not be written"),
    ("BAREMETAL.1102", "the default installer answer file could not be written"),
    ("BAREMETAL.1103", "the default boot menu could not be written"),
    ("BAREMETAL.1200", "no host configuration with that uuid"),
    ("BAREMETAL.1201", "no extra NIC configuration with that uuid"),
    ("BAREMETAL.1202", "the extra NIC configuration could not be deleted"),
    ("BAREMETAL.1203", "the DHCP host list could not be updated"),
    ("BAREMETAL.1204", "the DHCP host list could not be removed"),
    ("BAREMETAL.1205", "the machine-specific boot menu could not be written"),
    ("BAREMETAL.1206", "the machine-specific boot menu could not be removed"),
    ("BAREMETAL.1207", "the machine-specific installer answer file could not be written"),
    ("BAREMETAL.1208", "the machine-specific installer answer file could not be removed"),
    ("BAREMETAL.1300", "the boot server did not start"),
    ("BAREMETAL.1301", "the machine could not be powered on"),
    ("BAREMETAL.1302", "the machine could not be powered off"),
    ("BAREMETAL.1303", "the machine could not be power-cycled"),
    ("BAREMETAL.1304", "installing the bare-metal host failed"),
    ("BAREMETAL.1400", "there is no boot server"),
    ("BAREMETAL.1401", "the boot server is not running"),
    ("BAREMETAL.1402", "a boot server exists already"),
    ("BAREMETAL.1500", "the console token file could not be written"),
    ("BS.1000", "an image could not be fetched into the backup storage"),
    ("BS.1001", "the backup storage could not be attached to the zone"),
    ("BS.1002", "the backup storage could not be detached from the zone"),
    ("BS.1003", "no backup storage fits the request"),
    ("BS.1500", "connecting to the backup storage failed"),
    ("BS.SFTP.1000", "reconnecting an SFTP backup storage failed"),
    ("CERT.8000", "a certificate could not be issued or read"),
    ("HOST.1000", "the host could not be added"),
    ("HOST.1001", "the host could not enter maintenance"),
    ("HOST.1002", "the host could not be reconnected"),
    ("HOST.1003", "connecting to the host failed"),
    ("HOST.1004", "no host could be chosen for the VM"),
    ("HOST.1005", "the hypervisor failed to start the VM"),
    ("HOST.1006", "the hypervisor failed to stop the VM"),
    ("HOST.1007", "the hypervisor failed to reboot the VM"),
    ("HOST.1008", "the hypervisor failed to destroy the VM"),
    ("HOST.1009", "the hypervisor failed to migrate the VM"),
    ("HOST.1010", "the host is disconnected"),
    ("HOST.1011", "the host operation failed but can be retried later by the clean-up jobs"),
    ("HOST.8000", "the SSH login to the host was refused"),
    ("HOST.8001", "nothing answers at the SSH address of the host"),
    ("HOST.8002", "the SSH user may not become root on the host"),
    ("HOST.8003", "the host runs an operating system that is not supported"),
    ("HOST.8004", "the agent on the host did not call back in time"),
    ("HOST.8005", "the packages that a host needs could not be installed"),
    ("HOST.8006", "the host has no means to run virtual machines"),
    ("HOST.8007", "a host with this address exists already"),
    ("HOST.8008", "the agent speaks no protocol version that this server knows"),
    ("HOST.8009", "the machine has the agent of an image store already"),
    ("HOST_ALLOCATION.1000", "no host satisfies the request"),
    ("HOST_ALLOCATION.1001", "no NIC satisfies the request"),
    ("HYBRID.1000", "no such data centre"),
    ("HYBRID.1001", "no such availability zone"),
    ("HYBRID.1002", "no cloud account is configured"),
    ("HYBRID.1003", "no such cloud VPC"),
    ("HYBRID.1004", "virtual router not found"),
    ("HYBRID.1005", "no such route entry"),
    ("HYBRID.1006", "no such router interface"),
    ("HYBRID.1007", "no such border router"),
    ("HYBRID.1008", "that virtual router type is not supported"),
    ("HYBRID.1009", "connection access point not found"),
    ("HYBRID.1010", "no such cloud switch"),
    ("HYBRID.1011", "no such cloud security group"),
    ("HYBRID.1012", "no such object-storage bucket"),
    ("HYBRID.1013", "VPN gateway not found"),
    ("HYBRID.1014", "VPN connection not found"),
    ("HYBRID.1015", "no such customer VPN gateway"),
    ("ID.1000", "wrong account, user or password"),
    ("ID.1001", "the session is unknown or has expired"),
    ("ID.1002", "the caller is not allowed to do this"),
    ("ID.1003", "an account quota would be exceeded"),
    ("ID.1004", "the quota change is not valid"),
    ("ID.8000", "too many wrong passwords; wait before the next try"),
    ("ID.8001", "wrong access key id or signature"),
    ("IMG.1000", "an image could not be made from the volume"),
    ("IMG.8000", "the image file is damaged or of no known format"),
    ("IMG.8001", "the image header names a backing or data file, which is not allowed"),
    ("IMG.8002", "the image address is not allowed"),
    ("IMG.8003", "the image server answered with an error"),
    ("IMG.8004", "the image is larger than the room left or than allowed"),
    ("IMG.8005", "the checksum of the image is wrong"),
    ("IMG.8006", "the upload did not begin in time"),
    ("IMG.8007", "the upload has another size than was announced"),
    ("L2.1000", "the L2 network could not be attached to the cluster"),
    ("L2.1001", "no free VXLAN identifier is left"),
    ("L3.1000", "no address could be taken from the L3 network"),
    ("LDAP.1000", "the LDAP server could not be reached"),
    ("LDAP.1001", "a second LDAP server is configured"),
    ("LDAP.1002", "the directory has no such entry"),
    ("LDAP.1003", "that directory user is bound to another account already"),
    ("LDAP.1004", "no such account to bind to"),
    ("LDAP.1005", "the admin account may not be bound"),
    ("LDAP.1006", "the LDAP connection test failed"),
    ("LDAP.1007", "no such LDAP server record"),
    ("LICENSE.1000", "the licence has expired"),
    ("LICENSE.1001", "the licence does not cover this operation"),
    ("LICENSE.1002", "the machine no longer matches the licence"),
    ("NWS.1000", "the network service provider could not be attached to the L2 network"),
    ("NWS.1001", "the network service provider could not be detached from the L2 network"),
    ("PORTAL.1000", "no service handles this call"),
    ("PORTAL.1001", "a required field is missing"),
    ("PORTAL.1002", "the management node is not ready to take calls"),
    ("PROGRESS.1000", "that task is not running"),
    ("PS.1000", "no primary storage has room for the volume"),
    ("PS.1001", "the primary storage could not be attached to the cluster"),
    ("PS.1002", "the primary storage could not be detached from the cluster"),
    ("PS.1003", "the primary storage has lost its connection"),
    ("QUERY.8000", "the query is too expensive or too deep"),
    ("RES.8000", "the resource is being deleted"),
    ("RES.8001", "the resource is in use"),
    ("RES.8002", "the uuid is in use already"),
    ("RUN.8000", "the workflow was cancelled"),
    ("RUN.8001", "the workflow passed its deadline"),
    ("RUN.8002", "the workflow is stuck: its undo keeps failing"),
    ("RUN.8003", "there is no such workflow run in a state that allows this"),
    ("RUN.8004", "the server stopped while the workflow ran and it was undone"),
    ("RUN.8005", "the workflow and another one would have waited for each other"),
    ("SG.1000", "the VM NIC could not be added to the security group"),
    ("STORE.8000", "the database refused or failed"),
    ("STORE.8001", "the database disk is full"),
    ("STORE.8002", "the database cannot be reached; nothing was changed"),
    (
        "STORE.8003",
        "the connection to the database broke at the end of a change; whether it stands is not known",
    ),
    ("SYS.1000", "internal error"),
    ("SYS.1001", "timed out"),
    ("SYS.1002", "a resource could not be created"),
    ("SYS.1003", "no such resource"),
    ("SYS.1004", "a resource could not be deleted"),
    ("SYS.1005", "a resource state could not be changed"),
    ("SYS.1006", "the operation failed or is not possible now"),
    ("SYS.1007", "an argument is invalid"),
    ("SYS.1008", "no service understands the message"),
    ("SYS.1009", "no route for the message"),
    ("SYS.1010", "the management node is not ready"),
    ("SYS.1011", "the message could not be delivered"),
    ("SYS.1012", "a management node is unavailable"),
    ("SYS.1013", "the resource is not capable of the operation"),
    ("SYS.1014", "nothing implements that operation yet"),
    ("SYS.1015", "an HTTP request to an agent failed"),
    ("SYS.1016", "an I/O error happened"),
    ("TAG.1000", "the tag exists already"),
    ("VM.1000", "the VM could not be created"),
    ("VM.1001", "the VM could not be started"),
    ("VM.1002", "the VM could not be stopped"),
    ("VM.1003", "the VM could not be rebooted"),
    ("VM.1004", "the VM could not be destroyed"),
    ("VM.1005", "a data volume could not be attached to the VM"),
    ("VM.1006", "a data volume could not be detached from the VM"),
    ("VM.1007", "a network could not be attached to the VM"),
    ("VM.1008", "the VM could not be migrated"),
    ("VM.1009", "no MAC address could be allotted"),
    ("VM.1010", "the VM state does not allow the operation"),
    ("VM.1011", "the guest password could not be changed"),
    ("VM.1012", "the VM could not be paused"),
    ("VM.1013", "the VM could not be resumed"),
    ("VM.1014", "reimaging needs a stopped VM"),
    ("VM.1015", "a VM installed from an ISO cannot be reimaged"),
    ("VM.1016", "reimaging failed because the cached image is gone"),
    ("VM.8000", "the operation conflicts with another one that changes the VM right now"),
    ("VM.8001", "the VM is on a host that cannot be reached, so its true state is unknown"),
    ("VOLUME_SNAPSHOT.1000", "the snapshot status does not allow the operation"),
    ("VR.1000", "the virtual router is in the wrong state"),
    ("VR.1001", "the router offering names no public network"),
    ("VR.1002", "there is no default router offering"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(CODES.windows(2).all(|w| w[0].0 < w[1].0));
    }

    #[test]
    fn every_code_has_a_meaning() {
        assert_eq!(meaning(VM_NOT_IN_STATE), "the VM state does not allow the operation");
        assert_eq!(meaning("NO.0000"), "");
    }
}
