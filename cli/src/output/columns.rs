//! The columns that a list shows by default.

use cairn_api::resource::{self, FieldType, Resource};

/// Default columns of an inventory: names of fields, and of fields of nested inventories behind a dot.
pub fn of(inventory: &str) -> Option<&'static [&'static str]> {
    Some(match inventory {
        "AccessKeyInventory" => &["uuid", "AccessKeyID", "state", "accountUuid", "description"],
        "AccountInventory" => &["uuid", "name", "type", "createDate"],
        "AccountResourceRefInventory" => &["resourceUuid", "resourceType", "accountUuid"],
        "AuditInventory" => {
            &["createDate", "action", "success", "errorCode", "resourceUuid", "accountUuid", "tookMs"]
        }
        "BackupStorageInventory" | "ImageStoreBackupStorageInventory" => {
            &["uuid", "name", "type", "state", "status", "totalCapacity", "availableCapacity", "url"]
        }
        "CairnRunInventory" => &["uuid", "name", "state", "step", "progress", "resourceType", "resourceUuid"],
        "ClusterInventory" => &["uuid", "name", "state", "hypervisorType", "zoneUuid"],
        "ConsoleProxyAgentInventory" => &["uuid", "managementIp", "type", "state", "status"],
        "DiskOfferingInventory" => &["uuid", "name", "state", "diskSize"],
        "GlobalConfigInventory" => &["category", "name", "value", "defaultValue"],
        "HostInventory" => &[
            "uuid",
            "name",
            "state",
            "status",
            "managementIp",
            "hypervisorType",
            "availableCpuCapacity",
            "totalCpuCapacity",
            "availableMemoryCapacity",
            "totalMemoryCapacity",
        ],
        "ImageInventory" => &["uuid", "name", "state", "status", "mediaType", "format", "platform", "size"],
        "InstanceOfferingInventory" => &["uuid", "name", "state", "cpuNum", "memorySize"],
        "IpRangeInventory" => &["uuid", "name", "startIp", "endIp", "netmask", "gateway", "l3NetworkUuid"],
        "L2NetworkInventory" => &["uuid", "name", "type", "physicalInterface", "zoneUuid"],
        "L3NetworkInventory" => {
            &["uuid", "name", "state", "category", "ipRanges.networkCidr", "dns", "l2NetworkUuid"]
        }
        "LocalStorageResourceRefInventory" => &["resourceUuid", "resourceType", "size", "hostUuid"],
        "ManagementNodeInventory" => &["uuid", "hostName", "joinDate", "heartBeat"],
        "NetworkServiceL3NetworkRefInventory" => {
            &["l3NetworkUuid", "networkServiceType", "networkServiceProviderUuid"]
        }
        "NetworkServiceProviderInventory" => &["uuid", "name", "type", "networkServiceTypes"],
        "PrimaryStorageInventory" => {
            &["uuid", "name", "type", "state", "status", "totalCapacity", "availableCapacity", "url"]
        }
        "QuotaInventory" => &["identityUuid", "name", "value"],
        "SharedResourceInventory" => &["resourceUuid", "resourceType", "receiverAccountUuid", "toPublic"],
        "SystemTagInventory" | "UserTagInventory" => &["uuid", "tag", "resourceType", "resourceUuid"],
        "TaskProgressInventory" => &["taskName", "type", "content", "time"],
        "VmInstanceInventory" => &["uuid", "name", "state", "vmNics.ip", "cpuNum", "memorySize", "hostUuid"],
        "VmNicInventory" => &["uuid", "ip", "mac", "l3NetworkUuid", "vmInstanceUuid"],
        "VolumeInventory" => {
            &["uuid", "name", "type", "state", "status", "size", "actualSize", "vmInstanceUuid"]
        }
        "WebhookInventory" => &["uuid", "name", "type", "url"],
        "ZoneInventory" => &["uuid", "name", "state", "description"],
        _ => return None,
    })
}

/// Whether a field counts bytes and is shown with a unit.
pub fn is_bytes(field: &str) -> bool {
    let name = field.rsplit('.').next().unwrap_or(field);
    let ends = |suffix: &str| name.to_ascii_lowercase().ends_with(suffix);
    (ends("size") || ends("capacity") || ends("memory")) && !name.to_ascii_lowercase().contains("cpu")
}

/// All shown fields of an inventory in the order of its declaration.
pub fn declared(inventory: &Resource) -> Vec<&'static str> {
    let fields = inventory.fields().filter(|f| f.shown).map(|f| f.name);
    fields.chain(inventory.lists().map(|l| l.name)).chain(inventory.nested().map(|n| n.name)).collect()
}

/// The inventory in a list of inventories, such as `VmNicInventory` in `vmNics`.
pub fn nested(inventory: Option<&str>, field: &str) -> Option<&'static str> {
    resource::find(inventory?)?.nested().find(|n| n.name == field).map(|n| n.of.inventory)
}

/// Whether the field holds a number, which is set to the right.
pub fn is_number(inventory: &Resource, field: &str) -> bool {
    inventory.field(field).is_some_and(|f| matches!(f.ty, FieldType::Int | FieldType::Long))
}

#[cfg(test)]
mod tests {
    use cairn_api::{Kind, operations};

    use super::*;

    #[test]
    fn cli_01_every_list_has_columns_that_exist() {
        for op in operations().iter().filter(|op| op.kind == Kind::Query) {
            let inventory = op.inventory.unwrap();
            let Some(table) = resource::find(inventory) else { panic!("{inventory} has no table of fields") };
            let declared = declared(table);
            for column in of(inventory).unwrap_or(&[]) {
                let first = column.split('.').next().unwrap();
                let below = table
                    .subtypes
                    .iter()
                    .flat_map(|s| s.of)
                    .any(|(_, r)| r.fields.iter().any(|f| f.name == first));
                assert!(declared.contains(&first) || below, "{inventory} has no field {column}");
            }
        }
    }
}
