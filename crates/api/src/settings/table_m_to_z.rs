//! Settings of the original, categories m to z.

use super::Form;
use super::forms::YEAR;

super::settings! {
    "managementServer" {
        /// Seconds between heartbeats a management node records in the database
        "node.heartbeatInterval" = Some("5"), Form::seconds(0);
        /// Upper bound in seconds of the random wait before a node announces that it joined; 0 announces at
        /// once
        "node.joinDelay" = Some("0"), Form::between(-1, 3600);
    }
    "networkService" {
        /// MTU offered by DHCP when the L2 type is unknown
        "defaultDhcpMtu.dummyNetwork" = Some("1500"), Form::between(68, 9216);
        /// MTU offered by DHCP on untagged L2 networks
        "defaultDhcpMtu.l2NoVlanNetwork" = Some("1500"), Form::between(68, 9216);
        /// MTU offered by DHCP on VLAN L2 networks
        "defaultDhcpMtu.l2VlanNetwork" = Some("1500"), Form::between(68, 9216);
        /// MTU offered by DHCP on VXLAN L2 networks
        "defaultDhcpMtu.l2VxlanNetwork" = Some("1500"), Form::between(68, 9216);
    }
    "nfsPrimaryStorage" {
        /// Seconds between retries of volume and snapshot deletions that failed on NFS
        "deletion.gcInterval" = Some("3600"), Form::seconds(1);
        /// Directory on hosts below which NFS primary storage is mounted
        "mount.base" = Some("/opt/zstack/nfsprimarystorage"), Form::Path;
    }
    "notification" {
        /// Address that receives every notification by HTTP; the word null switches it off
        "webhook.url" = Some("null"), Form::UrlOrNull;
    }
    "portForwarding" {
        /// Rewrite the source of forwarded inbound traffic to the guest gateway; needed only for guests with
        /// several NICs that each have forwarding rules
        "snatInboundTraffic" = Some("false"), Form::Bool;
    }
    "primaryStorage" {
        /// Seconds between sweeps of cached images that nothing uses
        "imageCache.garbageCollector.interval" = Some("86400"), Form::seconds(0);
        /// Seconds between health checks of each primary storage
        "ping.interval" = Some("60"), Form::seconds(0);
        /// How many primary-storage health checks may run at once
        "ping.parallelismDegree" = Some("50"), Form::count(0);
        /// Space on every primary storage that allocation must leave free
        "reservedCapacity" = Some("1G"), Form::Size { max: 1 << 50 };
    }
    "progress" {
        /// Seconds between purges of finished task-progress records
        "progress.cleanupThreadInterval" = Some("300"), Form::seconds(0);
        /// Record task progress at all
        "progress.on" = Some("true"), Form::Bool;
        /// Seconds a task-progress record is kept
        "progress.ttl" = Some("86400"), Form::period();
    }
    "quota" {
        /// Default per-account limit on elastic IPs
        "eip.num" = Some("20"), Form::from(0);
        /// Default per-account limit on images
        "image.num" = Some("20"), Form::from(0);
        /// Default per-account limit on total image size, bytes
        "image.size" = Some("10995116277760"), Form::from(0);
        /// Default per-account limit on L3 networks
        "l3.num" = Some("20"), Form::from(0);
        /// Default per-account limit on load balancers
        "loadBalancer.num" = Some("20"), Form::from(0);
        /// Default per-account limit on port-forwarding rules
        "portForwarding.num" = Some("20"), Form::from(0);
        /// Default per-account limit on security groups
        "securityGroup.num" = Some("20"), Form::from(0);
        /// Default per-account limit on volume snapshots
        "snapshot.volume.num" = Some("200"), Form::from(0);
        /// Default per-account limit on virtual IPs
        "vip.num" = Some("20"), Form::from(0);
        /// Default per-account limit on virtual CPUs of active VMs
        "vm.cpuNum" = Some("80"), Form::from(0);
        /// Default per-account limit on memory of active VMs, bytes
        "vm.memorySize" = Some("85899345920"), Form::from(0);
        /// Default per-account limit on active VMs
        "vm.num" = Some("20"), Form::from(0);
        /// Default per-account limit on VMs in any state
        "vm.totalNum" = Some("20"), Form::from(0);
        /// Default per-account limit on total volume size, bytes
        "volume.capacity" = Some("10995116277760"), Form::from(0);
        /// Default per-account limit on data volumes
        "volume.data.num" = Some("40"), Form::from(0);
        /// Default per-account limit on VXLAN networks
        "vxlan.num" = Some("8"), Form::from(0);
    }
    "rest" {
        /// Seconds the result of a finished async call stays available for polling
        "completedApi.expiredPeriod" = Some("10800"), Form::between(60, YEAR);
        /// Seconds between purges of async results past that age
        "expiredApi.scanInterval" = Some("3600"), Form::seconds(1);
    }
    "securityGroup" {
        /// What happens to outbound traffic that no rule covers
        "egress.defaultPolicy" = Some("accept"), Form::OneOf(&["accept", "deny"]);
        /// Hosts retried in one pass after their rules failed to apply
        "host.failureResolvePerTime" = Some("100"), Form::count(0);
        /// Seconds between such retry passes
        "host.failureWorkerInterval" = Some("60"), Form::seconds(0);
        /// What happens to inbound traffic that no rule covers
        "ingress.defaultPolicy" = Some("deny"), Form::OneOf(&["accept", "deny"]);
        /// Milliseconds during which VMs returning from Unknown are collected so their rules are refreshed in
        /// one batch
        "refresh.delayInterval" = Some("1000"), Form::between(-1, 3600000);
    }
    "sharedMountPointPrimaryStorage" {
        /// Seconds between retries of volume and snapshot deletions that failed on a shared mount point
        "deletion.gcInterval" = Some("3600"), Form::seconds(1);
    }
    "virtualRouter" {
        /// Push a fresh agent into virtual routers on every create/start/reboot
        "agent.deployOnStart" = Some("true"), Form::Bool;
        /// Commands one virtual router may process at once
        "command.parallelismDegree" = Some("100"), Form::count(1);
        /// Reloads after which dnsmasq on a router is restarted instead, to avoid it hanging
        "dnsmasq.restartAfterNumberOfSIGUSER1" = Some("500"), Form::count(1);
        /// Seconds between health checks of virtual-router agents
        "ping.interval" = Some("60"), Form::seconds(1);
        /// How many router health checks may run at once
        "ping.parallelismDegree" = Some("500"), Form::count(1);
        /// SSH port of virtual routers
        "ssh.port" = Some("22"), Form::between(1, 65535);
        /// SSH login name of virtual routers
        "ssh.username" = Some("vyos"), Form::Text;
        /// Password set for that login
        "vrouter.password" = None, Form::Password;
    }
    "vm" {
        /// Show the guest firmware boot menu
        "bootMenu" = Some("true"), Form::Bool;
        /// Drop traffic with forged addresses sent by guests
        "cleanTraffic" = Some("false"), Form::Bool;
        /// Delete attached data volumes together with a destroyed VM instead of detaching them
        "dataVolume.deleteOnVmDestroy" = Some("false"), Form::Bool;
        /// What destroying a VM does: Direct removes it at once, Delay keeps it recoverable until expungePeriod
        /// passes, Never drops the record but keeps the root volume
        "deletionPolicy" = Some("Delay"), Form::OneOf(&["Direct", "Delay", "Never"]);
        /// Seconds between runs of the task that purges destroyed VMs
        "expungeInterval" = Some("3600"), Form::seconds(0);
        /// Seconds a destroyed VM remains recoverable before it is purged
        "expungePeriod" = Some("86400"), Form::period();
        /// Clear the offering reference of VMs when their instance offering is deleted
        "instanceOffering.setNullWhenDeleting" = Some("true"), Form::Bool;
        /// Hide the KVM signature from guests
        "kvmHiddenState" = Some("false"), Form::Bool;
        /// Define guests with NUMA nodes, which is what allows CPU and memory to grow while running
        "numa" = Some("false"), Form::Bool;
        /// Video streaming detection for SPICE consoles
        "spiceStreamingMode" = Some("off"), Form::OneOf(&["off", "all", "filter"]);
        /// Video adapter model given to guests
        "videoType" = Some("cirrus"), Form::OneOf(&["cirrus", "vga", "qxl"]);
    }
    "volume" {
        /// What deleting a data volume does: Direct removes it at once, Delay keeps it recoverable until
        /// expungePeriod passes, Never drops the record but keeps the bits
        "deletionPolicy" = Some("Delay"), Form::OneOf(&["Direct", "Delay", "Never"]);
        /// Clear the offering reference of volumes when their disk offering is deleted
        "diskOffering.setNullWhenDeleting" = Some("true"), Form::Bool;
        /// Seconds between runs of the task that purges deleted data volumes
        "expungeInterval" = Some("3600"), Form::seconds(0);
        /// Seconds a deleted data volume remains recoverable before it is purged
        "expungePeriod" = Some("86400"), Form::period();
    }
    "volumeSnapshot" {
        /// Snapshots that may be backed up at once
        "backup.parallelismDegree" = Some("5"), Form::count(0);
        /// Snapshots that may be deleted at once
        "delete.parallelismDegree" = Some("1"), Form::count(0);
        /// Chain length after which the next snapshot is a full one
        "incrementalSnapshot.maxNum" = Some("128"), Form::count(0);
    }
}
