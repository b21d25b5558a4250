use serde_json::{Value, json};

use super::*;
use crate::{Method, Operation, Params, operations};

const UUID: &str = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";

fn op(name: &str) -> &'static Operation {
    Operation::find(name).unwrap()
}

/// Name of the routed operation, or the status of the refusal.
fn routed(method: Method, path: &str, body: Value) -> String {
    match route(method, path, Some(&body)) {
        Ok(matched) => matched.op.name.to_owned(),
        Err(problem) => problem.status().to_string(),
    }
}

fn params(value: Value) -> Params {
    let Value::Object(map) = value else { panic!("not an object") };
    Params(map)
}

/// Parameters of a body after extraction and checks; the code of the refusal otherwise.
fn checked(name: &str, body: Value) -> Result<Params, String> {
    let op = op(name);
    let mut request = extract(op, &[], "", Some(&body)).map_err(|r| r.to_string())?;
    check(op, &mut request.params).map_err(|f| f.to_string())?;
    Ok(request.params)
}

fn zone(inner: Value) -> Result<Params, String> {
    checked("CreateZone", json!({"params": inner}))
}

#[test]
fn api_01_every_operation_is_found_at_each_of_its_addresses() {
    for op in operations() {
        for path in std::iter::once(&op.path).chain(op.other_paths) {
            let filled = path
                .split('/')
                .map(|p| if p.starts_with('{') { UUID } else { p })
                .collect::<Vec<_>>()
                .join("/");
            let body = op.body_key.map(|key| json!({key: {}}));
            for prefix in ["/zstack/v1", "/v1", "//zstack//v1/"] {
                let matched = route(op.method, &format!("{prefix}{filled}"), body.as_ref()).unwrap();
                assert_eq!(matched.op.name, op.name, "{path}");
                let names: Vec<_> = matched.path_params.iter().map(|(n, _)| *n).collect();
                let wanted: Vec<_> =
                    path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')).collect();
                assert_eq!(names, wanted);
                assert!(matched.path_params.iter().all(|(_, v)| v == UUID));
            }
        }
    }
}

#[test]
fn api_01_literal_path_parts_win_over_parameters() {
    for (method, path, name) in [
        (Method::Get, "/v1/vm-instances/nics", "QueryVmNic"),
        (Method::Get, "/v1/vm-instances/candidate-storages", "GetCandidatePrimaryStoragesForCreatingVm"),
        (Method::Get, "/v1/l3-networks/ip-ranges", "QueryIpRange"),
        (Method::Get, "/v1/l3-networks/ip-ranges/x/ip/free", "GetFreeIpOfIpRange"),
        (Method::Get, "/v1/l3-networks/x/ip/free", "GetFreeIpOfL3Network"),
        (Method::Get, "/v1/backup-storage/image-store", "QueryImageStoreBackupStorage"),
        (Method::Get, "/v1/accounts/resources", "QuerySharedResource"),
    ] {
        assert_eq!(routed(method, path, Value::Null), name);
    }
}

#[test]
fn api_01_queries_serve_one_resource_by_uuid_and_tolerate_doubled_slashes() {
    for path in ["/v1/zones/x", "/v1/zones//x", "/zstack/v1//zones///x/"] {
        let matched = route(Method::Get, path, None).unwrap();
        assert_eq!((matched.op.name, matched.path_param("uuid")), ("QueryZone", Some("x")));
    }
    // Not listed in the table, but clients use it.
    assert_eq!(routed(Method::Get, "/v1/primary-storage/x", Value::Null), "QueryPrimaryStorage");
}

#[test]
fn api_01_addresses_that_are_not_served_say_so() {
    for (method, path, status) in [
        (Method::Get, "/v1/nothing", "404"),
        (Method::Get, "/v2/zones", "404"),
        (Method::Get, "/zones", "404"),
        (Method::Get, "/zstack/zones", "404"),
        (Method::Get, "/v1", "404"),
        (Method::Get, "/", "404"),
        (Method::Get, "/v1/zones/x/y/z", "404"),
        (Method::Put, "/v1/zones", "405"),
        (Method::Delete, "/v1/zones", "405"),
        (Method::Post, "/v1/zones/x/actions", "405"),
        (Method::Get, "/v1/zones/%zz", "400"),
        (Method::Get, "/v1/zones/%ff", "400"),
    ] {
        assert_eq!(routed(method, path, json!({})), status, "{} {path}", method.as_str());
    }
}

#[test]
fn api_01_path_parameters_are_percent_decoded_and_keep_plus() {
    let matched = route(Method::Delete, "/v1/l3-networks/x/dns/fe80%3A%3A1+2%2F3", None).unwrap();
    assert_eq!(matched.path_param("dns"), Some("fe80::1+2/3"));
}

#[test]
fn api_01_verbs_are_chosen_by_the_key_of_the_body() {
    let path = "/v1/vm-instances/x/actions";
    for (body, outcome) in [
        (json!({"stopVmInstance": {}}), "StopVmInstance"),
        (json!({"startVmInstance": null, "systemTags": ["a"]}), "StartVmInstance"),
        (json!({"stopVm": {}}), "400"),
        (json!({}), "400"),
        (json!([]), "400"),
        (Value::Null, "400"),
        (json!({"stopVmInstance": {}, "startVmInstance": {}}), "400"),
    ] {
        assert_eq!(routed(Method::Put, path, body.clone()), outcome, "{body}");
    }
    assert_eq!(route(Method::Put, path, None).unwrap_err().status(), 400);
}

#[test]
fn api_01_calls_without_wrapper_take_every_spelling() {
    for name in ["AttachPrimaryStorageToCluster", "AttachL2NetworkToCluster"] {
        let bodies = [
            json!({"": {}}),
            json!({"params": {}}),
            json!({"null": {}}),
            json!({"params": null}),
            json!({}),
            Value::Null,
        ];
        for body in bodies {
            let path = [("clusterUuid", "c".to_owned())];
            let request = extract(op(name), &path, "", Some(&body)).unwrap();
            assert_eq!(request.params, params(json!({"clusterUuid": "c"})), "{body}");
        }
        assert!(extract(op(name), &[], "", None).is_ok());
    }
    let body = json!({"params": {"l2ProviderType": "LinuxBridge"}});
    let request = extract(op("AttachL2NetworkToCluster"), &[], "", Some(&body)).unwrap();
    assert_eq!(request.params.str("l2ProviderType"), "LinuxBridge");
}

#[test]
fn api_01_null_instead_of_parameters_is_the_empty_object() {
    let request = extract(
        op("StopVmInstance"),
        &[("uuid", UUID.to_owned())],
        "",
        Some(&json!({"stopVmInstance": null})),
    );
    assert_eq!(request.unwrap().params, params(json!({"uuid": UUID})));
    for body in [json!([]), json!("x"), json!({"params": []}), json!({"params": 1})] {
        let refused = extract(op("CreateZone"), &[], "", Some(&body)).unwrap_err();
        assert!(matches!(refused, Refusal::Problem(Problem::BadRequest(_))), "{body}");
    }
}

#[test]
fn api_01_path_parameters_win_and_unknown_fields_are_ignored() {
    let body = json!({"updateZone": {"uuid": "other", "name": "z", "flavour": 1}, "extra": true});
    let request = extract(op("UpdateZone"), &[("uuid", UUID.to_owned())], "uuid=third", Some(&body)).unwrap();
    assert_eq!(request.params, params(json!({"uuid": UUID, "name": "z"})));
}

#[test]
fn api_01_tags_are_taken_from_inside_or_beside_and_the_top_level_wins() {
    let inside = json!({"params": {"name": "z", "systemTags": ["in"], "userTags": ["u"]}});
    let request = extract(op("CreateZone"), &[], "", Some(&inside)).unwrap();
    assert_eq!((request.system_tags, request.user_tags), (vec!["in".to_owned()], vec!["u".to_owned()]));
    let both =
        json!({"params": {"name": "z", "systemTags": ["in"]}, "systemTags": ["top"], "userTags": null});
    let request = extract(op("CreateZone"), &[], "", Some(&both)).unwrap();
    assert_eq!((request.system_tags, request.user_tags), (vec!["top".to_owned()], vec![]));
    for wrong in [json!("a"), json!([1]), json!({}), json!([null])] {
        let refused = extract(op("CreateZone"), &[], "", Some(&json!({"systemTags": wrong}))).unwrap_err();
        assert!(matches!(refused, Refusal::Fault(fault) if fault.code == "SYS.1007"));
    }
    // On GET and DELETE they are ignored.
    assert!(extract(op("DeleteZone"), &[], "systemTags=a", None).unwrap().system_tags.is_empty());
}

#[test]
fn api_01_query_strings_carry_lists_and_maps() {
    let read = |name: &str, query: &str| extract(op(name), &[], query, None).map(|r| r.params);
    for query in ["uuids=a&uuids=b%20c", "uuids.0=a&uuids.1=b+c", "uuids.1=b%20c&uuids.0=a&deleteMode=&junk"]
    {
        assert_eq!(read("GetResourceNames", query).unwrap().list("uuids"), ["a", "b c"], "{query}");
    }
    assert!(!read("GetResourceNames", "uuids=").unwrap().has("uuids"));
    let map = read(
        "DetachNetworkServiceFromL3Network",
        "networkServices.p1=DHCP&networkServices.p1=DNS&networkServices[p2]=Eip",
    );
    let map = map.unwrap().map("networkServices");
    assert_eq!(
        (map["p1"].as_slice(), map["p2"].as_slice()),
        (&["DHCP".to_owned(), "DNS".to_owned()][..], &["Eip".to_owned()][..])
    );
    let twice = read("DeleteZone", "deleteMode=Permissive&deleteMode=Enforcing").unwrap_err();
    assert!(matches!(twice, Refusal::Problem(Problem::BadRequest(_))));
    assert!(matches!(read("DeleteZone", "deleteMode=%"), Err(Refusal::Problem(Problem::BadRequest(_)))));
    assert!(read("LogOut", "deleteMode=&unknown=1").is_ok());
}

#[test]
fn api_01_booleans_are_true_or_false_in_any_case() {
    for (value, expected) in [(json!("TRUE"), true), (json!("false"), false), (json!(true), true)] {
        let request =
            extract(op("SetImageQga"), &[], "", Some(&json!({"setImageQga": {"enable": value}}))).unwrap();
        assert_eq!(request.params.opt_bool("enable"), Some(expected));
    }
    for value in [json!("yes"), json!(1), json!(""), json!([])] {
        let refused = extract(op("SetImageQga"), &[], "", Some(&json!({"setImageQga": {"enable": value}})));
        assert!(matches!(refused, Err(Refusal::Problem(Problem::BadRequest(_)))), "{value}");
    }
    assert!(extract(op("GetCpuMemoryCapacity"), &[], "all=maybe", None).is_err());
    assert!(!extract(op("GetCpuMemoryCapacity"), &[], "all=", None).unwrap().params.has("all"));
}

#[test]
fn api_01_required_parameters_are_asked_for() {
    for body in [json!({}), json!({"name": null}), json!({"name": ""}), json!({"name": "   "})] {
        let refused = zone(body.clone()).unwrap_err();
        assert!(refused.starts_with("SYS.1007") && refused.contains("'name'"), "{body}: {refused}");
    }
    // Newer clients leave out what 2.2 required.
    let vm = checked("CreateVmInstance", json!({"params": {"name": "vm", "cpuNum": 1, "memorySize": 1024}}))
        .unwrap();
    assert_eq!(vm.long("cpuNum"), 1);
    assert!(!vm.has("imageUuid"));
}

#[test]
fn api_01_an_empty_name_in_an_update_changes_nothing() {
    let mut given = params(json!({"uuid": UUID, "name": "", "description": ""}));
    check(op("UpdateZone"), &mut given).unwrap();
    assert_eq!((given.has("name"), given.opt_str("description")), (false, Some("")));
}

#[test]
fn api_01_strings_are_trimmed_and_measured_in_characters() {
    assert_eq!(zone(json!({"name": "  zone  "})).unwrap().str("name"), "zone");
    assert!(zone(json!({"name": "é".repeat(255)})).is_ok());
    let refused = zone(json!({"name": "é".repeat(256)})).unwrap_err();
    assert!(refused.contains("256") && refused.contains("255"), "{refused}");
    let key = |id: &str| json!({"params": {"accountUuid": UUID, "userUuid": UUID, "AccessKeyID": id}});
    assert!(checked("CreateAccessKey", key("short")).is_err());
    assert!(checked("CreateAccessKey", key("0123456789")).is_ok());
    let login =
        checked("LogInByAccount", json!({"logInByAccount": {"accountName": " admin ", "password": " p "}}))
            .unwrap();
    assert_eq!((login.str("accountName"), login.str("password")), ("admin", " p "));
}

#[test]
fn api_01_hostile_names_are_data_and_control_characters_are_refused() {
    for name in ["$(reboot)", "../../etc/passwd", "a'b\"c;--", "<script>", "🦀", "%00", "名前"] {
        assert_eq!(zone(json!({"name": name})).unwrap().str("name"), name);
    }
    for name in ["a\0b", "a\nb", "a\u{1b}[31mb", "a\u{7f}"] {
        assert!(zone(json!({"name": name})).unwrap_err().starts_with("SYS.1007"), "{name:?}");
    }
    assert!(zone(json!({"name": "z", "description": "two\nlines"})).is_ok());
    assert!(zone(json!({"name": "z", "description": "a\0"})).is_err());
}

#[test]
fn api_01_allowed_values_are_compared_without_case_and_kept_as_declared() {
    let stop = |kind: &str| checked("StopVmInstance", json!({"stopVmInstance": {"type": kind}}));
    let with_uuid = |kind: Value| {
        let mut params = params(json!({"uuid": UUID, "type": kind}));
        check(op("StopVmInstance"), &mut params).map(|()| params.str("type").to_owned())
    };
    assert!(stop("cold").is_err());
    for (given, kept) in [(json!("COLD"), "cold"), (json!(""), "grace"), (Value::Null, "grace")] {
        assert_eq!(with_uuid(given).unwrap(), kept);
    }
    let refused = with_uuid(json!("warm")).unwrap_err();
    assert_eq!((refused.code.as_str(), refused.params["field"].as_str()), ("SYS.1007", Some("type")));
    assert!(refused.details.contains("grace, cold"));
    let l3 = |v: Value| {
        checked("CreateL3Network", json!({"params": {"name": "n", "l2NetworkUuid": UUID, "ipVersion": v}}))
    };
    assert!(l3(json!(4)).is_ok() && l3(json!("6")).is_ok() && l3(json!(5)).is_err());
}

#[test]
fn api_01_chosen_uuids_must_have_the_form() {
    assert_eq!(zone(json!({"name": "z", "resourceUuid": UUID})).unwrap().str("resourceUuid"), UUID);
    assert!(!zone(json!({"name": "z", "resourceUuid": ""})).unwrap().has("resourceUuid"));
    for bad in ["zone", "0F6F3C7BE3A94DCDB8B7F5B0C2A1D9E4", "../../../../../../../../../../.."] {
        assert!(zone(json!({"name": "z", "resourceUuid": bad})).unwrap_err().starts_with("SYS.1007"));
    }
}

#[test]
fn api_01_lists_are_checked_for_emptiness_and_elements() {
    let share = |v: Value| checked("ShareResource", json!({"shareResource": {"resourceUuids": v}}));
    assert_eq!(share(json!([" a ", "b"])).unwrap().list("resourceUuids"), ["a", "b"]);
    for bad in [json!([]), json!("a"), json!([1]), json!({}), Value::Null] {
        assert!(share(bad.clone()).unwrap_err().starts_with("SYS.1007"), "{bad}");
    }
    let host = |ip: &str| {
        checked(
            "AddKVMHost",
            json!({"params": {"name": "h", "username": "root", "password": "p", "managementIp": ip, "clusterUuid": UUID}}),
        )
    };
    assert!(host("").unwrap_err().contains("managementIp"));
    assert_eq!(host("10.0.0.1").unwrap().long("sshPort"), 22);
}

#[test]
fn api_01_a_zero_is_no_value_in_the_original_api_only() {
    let hosts = |per_agent: i64| {
        let params = json!({ "clusterUuid": "c".repeat(32), "count": 2, "hostsPerAgent": per_agent });
        checked("AddSimulatorHosts", json!({ "params": params })).map(|p| p.long("hostsPerAgent"))
    };
    assert_eq!((hosts(1), hosts(1000)), (Ok(1), Ok(1000)));
    assert!(hosts(0).unwrap_err().contains("'hostsPerAgent' is 0; it must be between 1 and 1000"));
}

#[test]
fn api_01_numbers_are_read_and_kept_in_range() {
    let offering = |cpu: Value, memory: Value| {
        checked(
            "CreateInstanceOffering",
            json!({"params": {"name": "o", "cpuNum": cpu, "memorySize": memory}}),
        )
    };
    for cpu in [json!(2), json!("2"), json!(2.0)] {
        assert_eq!(offering(cpu, json!(1)).unwrap().long("cpuNum"), 2);
    }
    assert_eq!(offering(json!(1), json!(i64::MAX)).unwrap().long("memorySize"), i64::MAX);
    for cpu in [
        json!(0),
        json!(-1),
        json!(1025),
        json!(2.5),
        json!("two"),
        json!(true),
        json!([2]),
        json!(4_294_967_298_i64),
    ] {
        assert!(offering(cpu.clone(), json!(1)).unwrap_err().contains("'cpuNum'"), "{cpu}");
    }
    assert!(offering(json!(1), json!(u64::MAX)).is_err());
    assert!(offering(json!(1024), json!(1)).is_ok());
}

#[test]
fn api_01_zeros_beside_an_offering_count_as_absent() {
    let body = json!({"params": {"name": "vm", "instanceOfferingUuid": UUID, "imageUuid": UUID, "l3NetworkUuids": [UUID],
        "cpuNum": 0, "memorySize": 0, "rootDiskSize": 0, "reservedMemorySize": 0}});
    let vm = checked("CreateVmInstance", body).unwrap();
    assert!(!vm.has("cpuNum") && !vm.has("memorySize") && !vm.has("rootDiskSize"));
    assert_eq!(vm.opt_long("reservedMemorySize"), Some(0));
    let mut free = params(json!({"l3NetworkUuid": UUID, "limit": "0"}));
    check(op("GetFreeIpOfL3Network"), &mut free).unwrap();
    assert_eq!((free.long("limit"), free.str("start")), (100, "0.0.0.0"));
}

#[test]
fn api_01_wrong_types_name_field_and_expected_type() {
    for value in [json!(1), json!(true), json!(["a"]), json!({"a": 1})] {
        let refused = zone(json!({"name": value})).unwrap_err();
        assert_eq!(refused, "SYS.1007: 'name' must be a string");
    }
}

#[test]
fn api_01_length_is_checked_before_allowed_values_and_both_before_range() {
    let long = "x".repeat(300);
    let mut given = params(json!({"uuid": UUID, "mediaType": long}));
    assert!(check(op("UpdateImage"), &mut given).unwrap_err().details.contains("300 characters"));
}

#[test]
fn api_01_resources_that_must_exist_are_listed_after_the_checks() {
    let vm = params(
        json!({"name": "vm", "instanceOfferingUuid": "o", "imageUuid": "i", "l3NetworkUuids": ["n1", "n2"]}),
    );
    let found: Vec<_> =
        refs(op("CreateVmInstance"), &vm).into_iter().map(|r| (r.param, r.entity, r.uuid, r.owned)).collect();
    let wanted = [
        ("instanceOfferingUuid", "InstanceOfferingVO", "o", true),
        ("imageUuid", "ImageVO", "i", true),
        ("l3NetworkUuids", "L3NetworkVO", "n1", true),
        ("l3NetworkUuids", "L3NetworkVO", "n2", true),
    ];
    assert_eq!(found, wanted.map(|(p, e, u, o)| (p, e, u.to_owned(), o)));
    let gone = refs(op("DeleteZone"), &params(json!({"uuid": UUID})));
    assert!(!gone[0].must_exist, "deleting a zone that does not exist succeeds");
    assert!(refs(op("DeleteVmHostname"), &params(json!({"uuid": UUID})))[0].must_exist);
}
