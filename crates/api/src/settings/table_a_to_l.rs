//! Settings of the original, categories a to l.

use super::Form;

super::settings! {
    "applianceVm" {
        /// Push a fresh agent build into appliance VMs on every create/start/reboot; leave off normally because
        /// it slows their boot
        "agent.deployOnStart" = Some("false"), Form::Bool;
        /// Seconds allowed for the agent inside a newly booted appliance VM to answer before the boot counts as
        /// failed and the VM is removed
        "connect.timeout" = Some("300"), Form::seconds(0);
        /// Seconds allowed for SSH login into a newly booted appliance VM before the boot counts as failed and
        /// the VM is removed
        "ssh.timeout" = Some("300"), Form::seconds(0);
    }
    "backupStorage" {
        /// Seconds between health checks of each backup storage
        "ping.interval" = Some("60"), Form::seconds(0);
        /// How many backup-storage health checks may run at once
        "ping.parallelismDegree" = Some("50"), Form::count(0);
        /// Space on every backup storage that allocation must leave free
        "reservedCapacity" = Some("1G"), Form::Size { max: 1 << 50 };
    }
    "ceph" {
        /// Seconds before an image download into a Ceph backup storage is given up
        "backupStorage.image.download.timeout" = Some("3600"), Form::seconds(1);
        /// Reconnect a backup-storage Ceph monitor by itself once its health check fails
        "backupStorage.mon.autoReconnect" = Some("true"), Form::Bool;
        /// Seconds to wait before reconnecting a failed backup-storage Ceph monitor
        "backupStorage.mon.reconnectDelay" = Some("30"), Form::seconds(0);
        /// Seconds between sweeps of unused cached images on Ceph primary storage
        "imageCache.cleanup.interval" = Some("43200"), Form::seconds(0);
        /// Also drop the Ceph pools when their primary storage is deleted
        "primaryStorage.deletePool" = Some("false"), Form::Bool;
        /// Reconnect a primary-storage Ceph monitor by itself once its health check fails
        "primaryStorage.mon.autoReconnect" = Some("true"), Form::Bool;
        /// Seconds to wait before reconnecting a failed primary-storage Ceph monitor
        "primaryStorage.mon.reconnectDelay" = Some("30"), Form::seconds(0);
    }
    "cloudBus" {
        /// Collect internal message-bus statistics (exposed over JMX)
        "statistics.on" = Some("false"), Form::Bool;
    }
    "console" {
        /// Seconds between health checks of console-proxy agents
        "agent.ping.interval" = Some("60"), Form::seconds(0);
        /// Seconds an unused console-proxy process lives before it quits
        "proxy.idleTimeout" = Some("60"), Form::seconds(0);
    }
    "eip" {
        /// Rewrite the source of inbound elastic-IP traffic to the guest gateway; needed only for guests with
        /// several NICs that each have an elastic IP
        "snatInboundTraffic" = Some("false"), Form::Bool;
    }
    "encrypt" {
        /// Key material used by the built-in field encryption
        "encrypt.algorithm" = None, Form::Text;
    }
    "fusionstor" {
        /// Seconds before an image download into a Fusionstor backup storage is given up
        "backupStorage.image.download.timeout" = Some("3600"), Form::seconds(1);
        /// Reconnect a backup-storage Fusionstor monitor by itself once its health check fails
        "backupStorage.mon.autoReconnect" = Some("true"), Form::Bool;
        /// Seconds to wait before reconnecting a failed backup-storage Fusionstor monitor
        "backupStorage.mon.reconnectDelay" = Some("30"), Form::seconds(0);
        /// Seconds between sweeps of unused cached images on Fusionstor primary storage
        "imageCache.cleanup.interval" = Some("43200"), Form::seconds(0);
        /// Also drop the Fusionstor pools when their primary storage is deleted
        "primaryStorage.deletePool" = Some("false"), Form::Bool;
        /// Reconnect a primary-storage Fusionstor monitor by itself once its health check fails
        "primaryStorage.mon.autoReconnect" = Some("true"), Form::Bool;
        /// Seconds to wait before reconnecting a failed primary-storage Fusionstor monitor
        "primaryStorage.mon.reconnectDelay" = Some("30"), Form::seconds(0);
    }
    "gc" {
        /// Seconds between searches for clean-up jobs whose management node has gone
        "orphanJobScanInterval" = Some("60"), Form::seconds(1);
    }
    "host" {
        /// Start a host reconnect automatically after a failed health check
        "connection.autoReconnectOnError" = Some("true"), Form::Bool;
        /// How many virtual CPUs may be promised per physical CPU
        "cpu.overProvisioning.ratio" = Some("10"), Form::between(0, 2147483647);
        /// At start-up connect every host at once rather than in batches
        "load.all" = Some("true"), Form::Bool;
        /// Batch size for connecting hosts at start-up or take-over when they are not all connected at once
        "load.parallelismDegree" = Some("100"), Form::count(0);
        /// Let a host finish entering maintenance even if some VM could not be migrated or stopped
        "maintenanceMode.ignoreError" = Some("false"), Form::Bool;
        /// Seconds between health checks of each host
        "ping.interval" = Some("60"), Form::seconds(0);
        /// Consecutive failed health checks before a host is reconnected
        "ping.maxFailure" = Some("3"), Form::count(0);
        /// How many host health checks may run at once
        "ping.parallelismDegree" = Some("100"), Form::count(0);
        /// Reconnect every host whenever the management node starts
        "reconnectAllOnBoot" = Some("true"), Form::Bool;
    }
    "hostAllocator" {
        /// Page size used while searching for a host with pagination on
        "paginationLimit" = Some("500"), Form::count(1);
        /// Honour capacity reservations set on clusters
        "reservedCapacity.clusterLevel" = Some("true"), Form::Bool;
        /// Honour capacity reservations set on hosts
        "reservedCapacity.hostLevel" = Some("true"), Form::Bool;
        /// Honour capacity reservations set on zones
        "reservedCapacity.zoneLevel" = Some("true"), Form::Bool;
        /// Search candidate hosts page by page
        "usePagination" = Some("true"), Form::Bool;
    }
    "identity" {
        /// Comma-separated message class names of admin-only calls that ordinary accounts may use as well
        "account.api.control" =
            Some("org.zstack.header.storage.backup.APIQueryBackupStorageMsg, \
                org.zstack.storage.backup.sftp.APIQuerySftpBackupStorageMsg, \
                org.zstack.header.image.APIAddImageMsg, \
                org.zstack.header.host.APIQueryHostMsg"),
            Form::MessageNames;
        /// Let the admin account see resources owned by other accounts
        "admin.showAllResource" = Some("true"), Form::Bool;
        /// Seconds between purges of expired sessions
        "session.cleanup.interval" = Some("3600"), Form::seconds(0);
        /// Limit on simultaneous sessions per login; further logins are refused, but a login of an administrator ends
        /// his oldest session instead. 0 counts as 1
        "session.maxConcurrent" = Some("500"), Form::count(0);
        /// Seconds a session stays valid after login; 0, with which nobody could do anything, counts as the default
        "session.timeout" = Some("7200"), Form::between(0, 31536000);
    }
    "image" {
        /// Seconds between retries of image deletions that failed on the storage
        "deletion.gcInterval" = Some("3600"), Form::seconds(0);
        /// What deleting an image does: Direct removes it at once, Delay keeps it recoverable until
        /// expungePeriod passes, Never drops the record but keeps the bits
        "deletionPolicy" = Some("Delay"), Form::OneOf(&["Direct", "Delay", "Never"]);
        /// Allow guest password reset for VMs made from images
        "enableResetPassword" = Some("true"), Form::Bool;
        /// Seconds between runs of the task that purges deleted images
        "expungeInterval" = Some("3600"), Form::seconds(0);
        /// Seconds a deleted image remains recoverable before it is purged
        "expungePeriod" = Some("86400"), Form::period();
    }
    "kvm" {
        /// Most data volumes one KVM guest may have attached
        "dataVolume.maxNum" = Some("24"), Form::between(0, 24);
        /// Name or address probed to prove outside connectivity when a KVM host uses the 163 mirror
        "host.DNSCheck163" = Some("mirrors.163.com"), Form::Text;
        /// Name or address probed to prove outside connectivity when a KVM host uses the Aliyun mirror
        "host.DNSCheckAliyun" = Some("mirrors.aliyun.com"), Form::Text;
        /// Comma-separated names or addresses probed while adding a KVM host; the add fails if none answers
        "host.DNSCheckList" = Some("yahoo.com,google.com,baidu.com"), Form::Text;
        /// Number of commands that may run at once on one KVM host
        "host.syncLevel" = Some("10"), Form::count(2);
        /// Permit snapshots of running guests on Red Hat family hosts with capable libvirt/QEMU
        "redhat.liveSnapshotOn" = Some("false"), Form::Bool;
        /// CPU set aside on each KVM host for the host itself; may be overridden by tags on host, cluster or
        /// zone
        "reservedCpu" = Some("512"), Form::count(-1);
        /// Memory set aside on each KVM host for the host itself; may be overridden by tags on host, cluster or
        /// zone
        "reservedMemory" = Some("1G"), Form::Size { max: 1 << 40 };
        /// Disk cache mode given to guest disks
        "vm.cacheMode" = Some("none"), Form::OneOf(&["none", "writethrough", "writeback"]);
        /// CPU model exposed to guests; any value but none turns on nested virtualisation and can limit
        /// migration
        "vm.cpuMode" = Some("none"), Form::OneOf(&["none", "host-model", "host-passthrough"]);
        /// Guests migrated at the same time when a KVM host enters maintenance
        "vm.migrationQuantity" = Some("2"), Form::count(0);
        /// Refresh guest states from the host with each health check
        "vmSyncOnHostPing" = Some("true"), Form::Bool;
    }
    "ldap" {
        /// Character separating names in queryLdapEntryReturnAttributes
        "queryLdapEntryReturnAttributeSeparator" = Some(","), Form::Text;
        /// Extra LDAP attributes returned when directory entries are looked up
        "queryLdapEntryReturnAttributes" = Some("member,uniqueMember"), Form::Text;
    }
    "loadBalancer" {
        /// Default scheduling algorithm of a new listener
        "balancerAlgorithm" = Some("roundrobin"), Form::OneOf(&["roundrobin", "leastconn", "source"]);
        /// Default seconds of silence after which a balanced connection is closed
        "connectionIdleTimeout" = Some("60"), Form::seconds(1);
        /// Default seconds between back-end health checks
        "healthCheckInterval" = Some("5"), Form::seconds(1);
        /// Default health-check target as protocol:port, where the word default means the instance port
        "healthCheckTarget" = Some("tcp:default"), Form::Text;
        /// Default seconds a back-end may take to answer a health check
        "healthCheckTimeout" = Some("2"), Form::seconds(1);
        /// Default number of passed checks before a back-end counts as healthy
        "healthyThreshold" = Some("2"), Form::between(1, 100);
        /// Default cap on simultaneous connections of a listener
        "maxConnection" = Some("5000"), Form::count(1);
        /// Default number of failed checks before a back-end counts as unhealthy
        "unhealthyThreshold" = Some("2"), Form::between(1, 100);
    }
    "localStoragePrimaryStorage" {
        /// Permit live migration of guests whose disks are on local storage
        "liveMigrationWithStorage.allow" = Some("false"), Form::Bool;
    }
}
