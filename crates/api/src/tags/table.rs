//! The known formats.

use super::By::{Both, Client, Server};
use super::{By, TagFormat, Value};

const fn tag(
    entities: &'static [&'static str],
    format: &'static str,
    by: By,
    value: Value,
    meaning: &'static str,
) -> TagFormat {
    TagFormat { entities, format, by, inherent: false, value, single: false, secret: false, meaning }
}

impl TagFormat {
    const fn inherent(mut self) -> Self {
        self.inherent = true;
        self
    }
    const fn single(mut self) -> Self {
        self.single = true;
        self
    }
    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// Every known format, by entity.
#[rustfmt::skip]
pub const FORMATS: &[TagFormat] = &[
    tag(&["BackupStorageVO"], "ceph::predefinedPool", Server, Value::Any, "image pool existed beforehand and is not created or dropped"),
    tag(&["BackupStorageVO"], "fusionstor::predefinedPool", Server, Value::Any, "image pool existed beforehand and is not created or dropped"),
    tag(&["BackupStorageVO"], "remote", Server, Value::Any, "backup storage lives in a remote (public-cloud) location"),
    tag(&["ClusterVO"], "host::reservedCpu::{capacity}", Client, Value::Size, "CPU kept back on every host of the cluster").single(),
    tag(&["ClusterVO"], "host::reservedMemory::{capacity}", Client, Value::Size, "memory kept back on every host of the cluster").single(),
    tag(&["HostVO"], "capability::liveSnapshot", Server, Value::Any, "host can snapshot running guests"),
    tag(&["HostVO"], "capability:virtio-scsi", Server, Value::Any, "host supports virtio-scsi disks"),
    tag(&["HostVO"], "extraips::{extraips}", Server, Value::Any, "other addresses found on the host, comma separated"),
    tag(&["HostVO"], "hvm::{flag}", Server, Value::Any, "CPU virtualisation flag of the host (vmx or svm)"),
    tag(&["HostVO"], "libvirt::version::{version}", Server, Value::Any, "libvirt version on the host"),
    tag(&["HostVO"], "os::distribution::{distribution}", Server, Value::Any, "operating-system distribution of the host").inherent(),
    tag(&["HostVO"], "os::release::{release}", Server, Value::Any, "operating-system release name of the host").inherent(),
    tag(&["HostVO"], "os::version::{version}", Server, Value::Any, "operating-system version of the host").inherent(),
    tag(&["HostVO"], "qemu-img::version::{version}", Server, Value::Any, "qemu-img version on the host"),
    tag(&["HostVO"], "reservedCpu::{capacity}", Client, Value::Size, "CPU kept back on this host").single(),
    tag(&["HostVO"], "reservedMemory::{capacity}", Client, Value::Size, "memory kept back on this host").single(),
    tag(&["ImageVO"], "image::cert::{imageCert}", Client, Value::Any, "certificate of the server the image is fetched from"),
    tag(&["ImageVO"], "imageName::{imageName}::primaryStorageUuid::{primaryStorageUuid}", Server, Value::Any, "remembers a cached copy on a primary storage after the image itself is gone"),
    tag(&["ImageVO"], "qemuga", Both, Value::Any, "image contains the guest agent; copied to VMs made from it").single(),
    tag(&["ImageVO"], "remote", Server, Value::Any, "image lives on a remote (public-cloud) backup storage"),
    tag(&["ImageVO"], "sourceType::{sourceType}", Server, Value::Any, "where the image came from"),
    tag(&["InstanceOfferingVO"], "commandsParallelismDegree::{parallelismDegree}", Client, Value::Integer, "commands a router made from this offering runs at once").single(),
    tag(&["InstanceOfferingVO"], "guestL3Network::{guestL3NetworkUuid}", Client, Value::Uuid, "use this router offering for the named guest L3 network"),
    tag(&["InstanceOfferingVO"], "networkInboundBandwidth::{bandwidth}", Client, Value::Any, "inbound bandwidth cap per NIC"),
    tag(&["InstanceOfferingVO"], "networkOutboundBandwidth::{bandwidth}", Client, Value::Any, "outbound bandwidth cap per NIC"),
    tag(&["InstanceOfferingVO"], "volumeTotalBandwidth::{bandwidth}", Client, Value::Any, "disk throughput cap"),
    tag(&["InstanceOfferingVO"], "volumeTotalIops::{iops}", Client, Value::Any, "disk operations-per-second cap"),
    tag(&["InstanceOfferingVO"], "vrouter", Client, Value::Any, "offering makes VyOS-based routers"),
    tag(&["L2NetworkVO"], "kvm::bridge::{name}", Server, Value::Any, "name of the bridge that realises the L2 network on hosts").inherent(),
    tag(&["L2NetworkVO"], "l2NetworkUuid::{poolUuid}::clusterUuid::{clusterUuid}::cidr::{vtepCidr}", Client, Value::Cidr, "address range holding the tunnel endpoints of one cluster in a VXLAN pool"),
    tag(&["L3NetworkVO"], "flatNetwork::DhcpServer::{ip}::ipUuid::{ipUuid}", Server, Value::Any, "address taken by the distributed DHCP server of a flat network, with its used-IP uuid").inherent(),
    tag(&["L3NetworkVO"], "l3NetworkUuid::{l3Uuid}::mtu::{mtu}", Both, Value::Integer, "MTU of the L3 network"),
    tag(&["L3NetworkVO"], "routerInterfaceIp::{routerInterfaceIp}", Both, Value::Any, "address the virtual router takes on the network in place of the gateway address"),
    tag(&["LdapServerVO"], "ldapCleanBindingFilter::{ldapCleanBindingFilter}", Client, Value::Any, "LDAP filter deciding which bindings are purged as stale"),
    tag(&["LdapServerVO"], "ldapServerType::{ldapServerType}", Client, Value::OneOf(&["OpenLdap", "WindowsAD"]), "flavour of the directory server"),
    tag(&["LdapServerVO"], "ldapUseAsLoginName::{ldapUseAsLoginName}", Client, Value::Any, "directory attribute users log in with"),
    tag(&["LoadBalancerListenerVO"], "balancerAlgorithm::{balancerAlgorithm}", Both, Value::OneOf(&["roundrobin", "leastconn", "source"]), "scheduling algorithm"),
    tag(&["LoadBalancerListenerVO"], "connectionIdleTimeout::{connectionIdleTimeout}", Both, Value::Integer, "seconds of silence before a connection is closed"),
    tag(&["LoadBalancerListenerVO"], "healthCheckInterval::{healthCheckInterval}", Both, Value::Integer, "seconds between health checks"),
    tag(&["LoadBalancerListenerVO"], "healthCheckTarget::{healthCheckTarget}", Both, Value::Any, "what to probe, as protocol:port"),
    tag(&["LoadBalancerListenerVO"], "healthCheckTimeout::{healthCheckTimeout}", Both, Value::Integer, "seconds a back-end may take to answer a check"),
    tag(&["LoadBalancerListenerVO"], "healthyThreshold::{healthyThreshold}", Both, Value::Integer, "passed checks before a back-end counts as healthy"),
    tag(&["LoadBalancerListenerVO"], "maxConnection::{maxConnection}", Both, Value::Integer, "cap on simultaneous connections"),
    tag(&["LoadBalancerListenerVO"], "unhealthyThreshold::{unhealthyThreshold}", Both, Value::Integer, "failed checks before a back-end counts as unhealthy"),
    tag(&["LoadBalancerVO"], "separateVirtualRouterVm", Client, Value::Any, "give this load balancer a virtual router of its own"),
    tag(&["PrimaryStorageVO"], "capability::snapshot::hypervisor::{hypervisorType}", Server, Value::Any, "snapshots on this storage are taken by the named hypervisor"),
    tag(&["PrimaryStorageVO"], "capability:snapshot", Server, Value::Any, "storage can snapshot volumes"),
    tag(&["PrimaryStorageVO"], "ceph::default::dataVolumePoolName::{dataVolumePoolName}", Server, Value::Any, "pool used for data volumes by default").inherent(),
    tag(&["PrimaryStorageVO"], "ceph::default::imageCachePoolName::{imageCachePoolName}", Server, Value::Any, "pool used for the image cache by default").inherent(),
    tag(&["PrimaryStorageVO"], "ceph::default::rootVolumePoolName::{rootVolumePoolName}", Server, Value::Any, "pool used for root volumes by default").inherent(),
    tag(&["PrimaryStorageVO"], "ceph::kvm::secret::{uuid}", Server, Value::Any, "uuid of the libvirt secret hosts use to reach the cluster").inherent(),
    tag(&["PrimaryStorageVO"], "ceph::nocephx", Client, Value::Any, "cluster has cephx authentication switched off"),
    tag(&["PrimaryStorageVO"], "ceph::predefinedDataVolumePool", Server, Value::Any, "data-volume pool existed beforehand"),
    tag(&["PrimaryStorageVO"], "ceph::predefinedImageCachePool", Server, Value::Any, "image-cache pool existed beforehand"),
    tag(&["PrimaryStorageVO"], "ceph::predefinedRootVolumePool", Server, Value::Any, "root-volume pool existed beforehand"),
    tag(&["PrimaryStorageVO"], "fusionstor::kvm::secret::{uuid}", Server, Value::Any, "uuid of the libvirt secret hosts use to reach the cluster").inherent(),
    tag(&["PrimaryStorageVO"], "fusionstor::predefinedDataVolumePool", Server, Value::Any, "data-volume pool existed beforehand"),
    tag(&["PrimaryStorageVO"], "fusionstor::predefinedImageCachePool", Server, Value::Any, "image-cache pool existed beforehand"),
    tag(&["PrimaryStorageVO"], "fusionstor::predefinedRootVolumePool", Server, Value::Any, "root-volume pool existed beforehand"),
    tag(&["PrimaryStorageVO"], "nfs::mount::options::{options}", Client, Value::Any, "extra mount options for the NFS share"),
    tag(&["PrimaryStorageVO", "InstanceOfferingVO", "DiskOfferingVO"], "primaryStorage::allocator::userTag::{tag}", Client, Value::NotYet, "prefer primary storage with this user tag"),
    tag(&["PrimaryStorageVO", "InstanceOfferingVO", "DiskOfferingVO"], "primaryStorage::allocator::userTag::{tag}::required", Client, Value::NotYet, "insist on primary storage with this user tag"),
    tag(&["PrimaryStorageVO", "InstanceOfferingVO", "DiskOfferingVO"], "primaryStorage::allocator::uuid::{uuid}", Client, Value::NotYet, "place the VM or volume on this primary storage"),
    tag(&["PrimaryStorageVO"], "primaryStorage::gateway::cidr::{storageGateway}", Client, Value::Cidr, "network over which hosts reach the storage"),
    tag(&["VipVO"], "flatNetwork::vip::{l3}::{namespace}", Server, Value::Any, "guest network and namespace that serve a VIP of a flat network"),
    tag(&["VmInstanceVO"], "RDPEnable::{RDPEnable}", Both, Value::OnlyFalse, "remote-desktop access switched on or off").single(),
    tag(&["VmInstanceVO"], "VDIMonitorNumber::{VDIMonitorNumber}", Both, Value::Integer, "number of monitors of a desktop VM").single(),
    tag(&["VmInstanceVO"], "bootOrder::{bootOrder}", Both, Value::ListOf(&["HardDisk", "CdRom"]), "boot devices in order, comma separated").single(),
    tag(&["VmInstanceVO"], "commandsParallelismDegree::{parallelismDegree}", Both, Value::Integer, "commands this router runs at once").single(),
    tag(&["VmInstanceVO"], "consolePassword::{consolePassword}", Both, Value::NotYet, "password of the graphical console").single().secret(),
    tag(&["VmInstanceVO"], "dedicatedRole", Server, Value::Any, "router serves only the roles it is tagged with").inherent(),
    tag(&["VmInstanceVO"], "hostname::{hostname}", Client, Value::Hostname, "guest host name").single(),
    tag(&["VmInstanceVO"], "instanceOfferingOnlinechange::{instanceOfferingOnliechange}", Client, Value::Any, "VM may change CPU and memory while running"),
    tag(&["VmInstanceVO"], "iso::{iso}", Server, Value::Any, "image uuid of the ISO in the CD drive").inherent().single(),
    tag(&["VmInstanceVO"], "pendingCapacityChange::cpuNum::{cpuNum}::cpuSpeed::{cpuSpeed}::memory::{memory}", Server, Value::Any, "size that takes effect at the next start (kept for old data; unused)"),
    tag(&["VmInstanceVO"], "primaryStorageUuidForDataVolume::{primaryStorageUuidForDataVolume}", Client, Value::Uuid, "primary storage that must hold the data volumes created with the VM").single(),
    tag(&["VmInstanceVO"], "qemuga", Both, Value::Any, "guest agent is installed, so its functions may be used").single(),
    tag(&["VmInstanceVO"], "role::DHCP", Server, Value::Any, "router provides DHCP"),
    tag(&["VmInstanceVO"], "role::DNS", Server, Value::Any, "router provides DNS"),
    tag(&["VmInstanceVO"], "role::EIP", Server, Value::Any, "router provides elastic IPs"),
    tag(&["VmInstanceVO"], "role::LoadBalancer", Server, Value::Any, "router provides load balancing"),
    tag(&["VmInstanceVO"], "role::PortForwarding", Server, Value::Any, "router provides port forwarding"),
    tag(&["VmInstanceVO"], "role::SNAT", Server, Value::Any, "router provides source NAT"),
    tag(&["VmInstanceVO"], "rootPassword::{rootPassword}", Client, Value::Any, "root password put into the guest at boot").single().secret(),
    tag(&["VmInstanceVO"], "sshkey::{sshkey}", Both, Value::Any, "public key put into the guest at boot").single(),
    tag(&["VmInstanceVO"], "staticIp::{l3NetworkUuid}::{staticIp}", Client, Value::Ip, "fixed address for the NIC on one L3 network"),
    tag(&["VmInstanceVO"], "usbRedirect::{usbRedirect}", Both, Value::OnlyFalse, "USB redirection to the client switched on or off").single(),
    tag(&["VmInstanceVO"], "userdata::{userdata}", Client, Value::Base64, "cloud-init user data for the guest").single().secret(),
    tag(&["VmInstanceVO"], "virtio::diskOffering::{diskOfferingUuid}::num::{number}", Client, Value::Any, "how many of the data volumes made from one disk offering should use virtio-scsi"),
    tag(&["VmInstanceVO"], "windows::virtioVolume", Client, Value::Any, "Windows guest has virtio drivers, so its disks may use virtio"),
    tag(&["VolumeVO"], "capability::virtio-scsi", Both, Value::Any, "attach the volume through virtio-scsi"),
    tag(&["VolumeVO"], "ceph::pool::{poolName}", Client, Value::Any, "pool in which to place this volume"),
    tag(&["VolumeVO"], "kvm::volume::{wwn}", Server, Value::Any, "world-wide name given to a virtio-scsi volume").inherent(),
    tag(&["VolumeVO"], "localStorage::hostUuid::{hostUuid}", Client, Value::Uuid, "host on which a data volume on local storage is created"),
    tag(&["VolumeVO"], "volumeMaxIncrementalSnapshotNum::{volumeSnapshotMaxNum}", Client, Value::Integer, "snapshot chain length of this volume, replacing the global setting"),
    tag(&["ZoneVO"], "host::reservedCpu::{capacity}", Client, Value::Size, "CPU kept back on every host of the zone").single(),
    tag(&["ZoneVO"], "host::reservedMemory::{capacity}", Client, Value::Size, "memory kept back on every host of the zone").single(),
    tag(&[], "ephemeral::deleteVipOnFailure", Client, Value::Any, "drop the VIP if the request using it fails"),
    tag(&[], "ephemeral::shareable", Client, Value::Any, "create the data volume as one several VMs can attach"),
    tag(&[], "ephemeral::validationOnly", Client, Value::Any, "check the request but do not carry it out"),
];
