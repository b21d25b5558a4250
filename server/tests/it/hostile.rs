//! Bad input: a clear error with a stable code or a harmless name, nothing run, nothing left behind.

use cairn_testkit::Cloud;
use serde_json::{Value, json};

const HOSTILE: &[&str] = &[
    "$(reboot)",
    "`reboot`",
    "../../../etc/passwd",
    "a'; DROP TABLE vm_instance; --",
    "\"quoted\" <script>alert(1)</script>",
    "🦀 emoji 名前",
    "a&b|c;d>e",
    "%s%n%x",
    "{{7*7}}",
];

#[tokio::test]
async fn bad_input_hostile_names_are_only_names() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    for name in HOSTILE {
        let vm = world.create_vm(&cloud.admin, name).await;
        let found = cloud.admin.one("QueryVmInstance", vm["uuid"].as_str().unwrap()).await;
        assert_eq!(found["name"], *name);
        let host = cloud.machines.host(&world.hosts[0]);
        for volume in host.volumes().values() {
            assert!(!volume.path.contains(name) && !volume.path.contains(".."), "{}", volume.path);
        }
        cloud.admin.ok("DestroyVmInstance", json!({ "uuid": vm["uuid"] })).await;
        cloud.admin.ok("ExpungeVmInstance", json!({ "uuid": vm["uuid"] })).await;
    }
    cloud.assert_sane("hostile names").await;
}

#[tokio::test]
async fn bad_input_of_every_sort_is_refused_with_a_code_and_leaves_nothing() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let stranger = cloud.account("stranger").await;
    let before = cloud.rows().await;
    let with = |name: &str, value: Value| {
        let mut params = world.vm("vm");
        params[name] = value;
        params
    };
    let unknown = cairn_types::new_uuid();
    for (what, params) in [
        ("a control character", with("name", json!("a\u{7}b"))),
        ("a line break", with("name", json!("a\nb"))),
        ("a name that is too long", with("name", json!("x".repeat(256)))),
        ("a very long name", with("name", json!("x".repeat(1 << 20)))),
        ("a number for a list", with("l3NetworkUuids", json!(7))),
        ("a list for a text", with("name", json!(["a"]))),
        ("no processors", with("cpuNum", json!(-1))),
        ("a text for a number", with("cpuNum", json!("many"))),
        ("an unknown image", with("imageUuid", json!(unknown))),
        ("an image that is no uuid", with("imageUuid", json!("../../x"))),
        ("a host for an image", with("imageUuid", json!(world.hosts[0]))),
        ("an unknown network", with("l3NetworkUuids", json!([unknown]))),
        ("an empty list of networks", with("l3NetworkUuids", json!([]))),
        ("a strategy that is none", with("strategy", json!("Soon"))),
        ("a uuid in use", with("resourceUuid", json!(world.zone))),
        ("a host name that is none", with("systemTags", json!(["hostname::$(reboot)"]))),
        ("a disk beyond all storage", with("rootDiskSize", json!(i64::MAX))),
    ] {
        let failure = cloud.admin.fails("CreateVmInstance", params).await;
        assert!(failure.status == 503 || failure.status == 400, "{what}: {failure}");
        assert_ne!(failure.code(), "SYS.1000", "{what}: {failure}");
        assert!(cloud.converged().await);
        assert_eq!(before.differences(&cloud.rows().await), Vec::<String>::new(), "{what}");
    }
    let foreign = stranger.fails("CreateVmInstance", world.vm("vm")).await;
    assert_eq!(foreign.code(), "ID.1002", "{foreign}");
    assert_eq!(before.differences(&cloud.rows().await), Vec::<String>::new());
}
