//! How much room there is: expressions over rows, never counters. `{t}` is the alias of the resource's table.
//!
//! Whoever chooses a host or a storage uses these same expressions, so that a list, a capacity call and an allocation never
//! disagree.

/// The states in which a VM holds CPU and memory of its host, as an SQL list. Kept equal to `VmState::holds_capacity`.
macro_rules! holding_states {
    () => {
        "('Starting','Running','Stopping','Rebooting','Migrating','Pausing','Paused','Resuming','Unknown','Destroying')"
    };
}

macro_rules! setting {
    ($category:literal, $name:literal, $default:literal) => {
        concat!(
            "coalesce((SELECT CAST(g.value AS DOUBLE PRECISION) FROM global_config g WHERE g.category = '",
            $category,
            "' AND g.name = '",
            $name,
            "'), ",
            $default,
            ")"
        )
    };
}

/// Zero instead of a negative number.
macro_rules! not_below_zero {
    ($($part:expr),+ $(,)?) => {
        concat!("(SELECT CASE WHEN c.v < 0 THEN 0 ELSE c.v END FROM (SELECT ", $($part),+, " AS v) c)")
    };
}

/// The whole number below a fraction that is not negative, or the same number. A cast alone cuts off on SQLite and rounds on
/// PostgreSQL.
macro_rules! whole {
    ($($part:expr),+ $(,)?) => {
        concat!(
            "(SELECT CAST(w.v AS BIGINT) - CASE WHEN CAST(w.v AS BIGINT) > w.v THEN 1 ELSE 0 END FROM (SELECT ",
            $($part),+,
            " AS v) w)"
        )
    };
}

macro_rules! cpu_total {
    () => {
        whole!("{t}.total_cpu * ", setting!("host", "cpu.overProvisioning.ratio", "10"))
    };
}

macro_rules! memory_total {
    () => {
        whole!("{t}.total_memory * ", setting!("mevoco", "overProvisioning.memory", "1"))
    };
}

macro_rules! of_vms_on_host {
    ($column:literal) => {
        concat!(
            "CAST(coalesce((SELECT sum(v.",
            $column,
            ") FROM vm_instance v WHERE v.host_uuid = {t}.uuid AND v.state IN ",
            holding_states!(),
            // Guests of VMs that are gone, which their hosts could not be told to switch off yet.
            "), 0) + coalesce((SELECT sum(d.",
            $column,
            ") FROM departed_guest d WHERE d.host_uuid = {t}.uuid), 0) AS BIGINT)"
        )
    };
}

macro_rules! storage_sum {
    ($column:literal, $table:literal) => {
        concat!(
            "coalesce((SELECT sum(x.",
            $column,
            ") FROM ",
            $table,
            " x WHERE x.primary_storage_uuid = {t}.uuid), 0)"
        )
    };
}

macro_rules! storage_physical {
    () => {
        concat!(
            "coalesce({t}.total_capacity, ",
            storage_sum!("total_physical", "local_storage_host_ref"),
            ")"
        )
    };
}

macro_rules! storage_physical_free {
    () => {
        concat!(
            "coalesce({t}.available_capacity, ",
            storage_sum!("available_physical", "local_storage_host_ref"),
            ")"
        )
    };
}

macro_rules! storage_ratio {
    () => {
        setting!("mevoco", "overProvisioning.primaryStorage", "1")
    };
}

/// States in which a VM holds capacity, as an SQL list.
pub const HOLDING_STATES: &str = holding_states!();
/// Virtual CPUs a host may promise: its processors times the overcommit ratio.
pub const HOST_TOTAL_CPU: &str = cpu_total!();
/// Virtual CPUs of a host that are not promised yet.
pub const HOST_AVAILABLE_CPU: &str =
    not_below_zero!(cpu_total!(), " - {t}.reserved_cpu - ", of_vms_on_host!("cpu_num"));
/// Memory a host may promise, in bytes: what it has times the overcommit ratio.
pub const HOST_TOTAL_MEMORY: &str = memory_total!();
/// Memory of a host that is not promised yet.
pub const HOST_AVAILABLE_MEMORY: &str =
    not_below_zero!(memory_total!(), " - {t}.reserved_memory - ", of_vms_on_host!("memory_size"));

/// Size of a primary storage's disks.
pub const STORAGE_TOTAL_PHYSICAL: &str = concat!("CAST(", storage_physical!(), " AS BIGINT)");
/// What is free on a primary storage's disks.
pub const STORAGE_AVAILABLE_PHYSICAL: &str = concat!("CAST(", storage_physical_free!(), " AS BIGINT)");
/// What a primary storage may promise: its size times the overcommit ratio.
pub const STORAGE_TOTAL: &str = whole!(storage_physical!(), " * ", storage_ratio!());
/// What the disks of a primary storage hold that is not ours.
pub const STORAGE_SYSTEM_USED: &str = not_below_zero!(
    "CAST(",
    storage_physical!(),
    " - ",
    storage_physical_free!(),
    " - ",
    storage_sum!("actual_size", "volume"),
    " - ",
    storage_sum!("size", "image_cache"),
    " AS BIGINT)"
);
/// What a primary storage has not promised yet: volumes count with their full size.
pub const STORAGE_AVAILABLE: &str = not_below_zero!(
    whole!(storage_physical!(), " * ", storage_ratio!()),
    " - CAST(",
    storage_sum!("size", "volume"),
    " + ",
    storage_sum!("size", "image_cache"),
    " AS BIGINT)"
);

/// The same without what volumes take, which whoever asks often knows without adding them up; may be negative.
pub const STORAGE_WITHOUT_VOLUMES: &str = concat!(
    "CAST(",
    storage_physical!(),
    " * ",
    storage_ratio!(),
    " - ",
    storage_sum!("size", "image_cache"),
    " AS BIGINT)"
);

/// What one host of a local storage may promise; `{t}` is `local_storage_host_ref`.
pub const LOCAL_STORAGE_TOTAL: &str = whole!("{t}.total_physical * ", storage_ratio!());
/// What one host of a local storage has not promised yet; `{t}` is `local_storage_host_ref`.
pub const LOCAL_STORAGE_AVAILABLE: &str = not_below_zero!(
    whole!("{t}.total_physical * ", storage_ratio!()),
    " - CAST(coalesce((SELECT sum(x.size) FROM local_storage_resource_ref x WHERE x.host_uuid = {t}.host_uuid",
    " AND x.primary_storage_uuid = {t}.primary_storage_uuid), 0)",
    " + coalesce((SELECT sum(x.size) FROM image_cache x WHERE x.host_uuid = {t}.host_uuid",
    " AND x.primary_storage_uuid = {t}.primary_storage_uuid), 0) AS BIGINT)"
);

/// An expression of this module for the table with this alias.
pub fn on(expression: &str, alias: &str) -> String {
    expression.replace("{t}", alias)
}
