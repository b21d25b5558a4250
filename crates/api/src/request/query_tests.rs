use super::*;

const UUID: &str = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";

fn condition(text: &str) -> (String, QueryOp, String) {
    let c = parse_condition(text).unwrap();
    (c.field, c.op, c.value)
}

#[test]
fn api_04_every_operator_is_read() {
    use QueryOp::*;
    for (text, field, op, value) in [
        ("name=vm-1", "name", Eq, "vm-1"),
        ("name!=vm-1", "name", NotEq, "vm-1"),
        ("cpuNum>4", "cpuNum", Gt, "4"),
        ("cpuNum>=4", "cpuNum", Ge, "4"),
        ("cpuNum<4", "cpuNum", Lt, "4"),
        ("cpuNum<=4", "cpuNum", Le, "4"),
        ("name?=a, b", "name", In, "a, b"),
        ("name!?=a,b", "name", NotIn, "a,b"),
        ("name~=web%", "name", Like, "web%"),
        ("name!~=web%", "name", NotLike, "web%"),
        ("hostUuid is null", "hostUuid", IsNull, ""),
        ("hostUuid not null", "hostUuid", NotNull, ""),
        ("hostUuid is not null ", "hostUuid", NotNull, ""),
        ("vmNics.eip.vipIp=10.1.1.9", "vmNics.eip.vipIp", Eq, "10.1.1.9"),
        ("name=", "name", Eq, ""),
        ("name= a ", "name", Eq, " a "),
    ] {
        assert_eq!(condition(text), (field.to_owned(), op, value.to_owned()), "{text}");
    }
    assert_eq!(parse_condition("name?=a, b ,c").unwrap().elements(), ["a", "b", "c"]);
}

#[test]
fn api_04_the_leftmost_operator_splits() {
    use QueryOp::*;
    for (text, field, op, value) in [
        ("description=a>=b", "description", Eq, "a>=b"),
        ("name~=a=b", "name", Like, "a=b"),
        ("name=it is null", "name", Eq, "it is null"),
        ("name=a!=b", "name", Eq, "a!=b"),
    ] {
        assert_eq!(condition(text), (field.to_owned(), op, value.to_owned()), "{text}");
    }
    for bad in ["name", "=x", "is null", "name like x", "日本"] {
        assert_eq!(parse_condition(bad).unwrap_err().status(), 400, "{bad}");
    }
}

#[test]
fn api_04_a_whole_query_is_read() {
    let text = "q=vmNics.ip=10.1.1.9&q=cluster.name~=rack%25&sort=-createDate&limit=20&start=40&replyWithCount=TRUE\
                &fields=uuid,%20name&fields=state&groupBy=hostUuid&filterName=x&unknown=1";
    let query = parse_query(text, None).unwrap();
    assert_eq!(query.conditions.len(), 2);
    assert_eq!(query.conditions[1].value, "rack%");
    assert_eq!(query.sort, Some(Sort { field: "createDate".to_owned(), descending: true }));
    assert_eq!(
        (query.limit, query.start, query.count, query.reply_with_count),
        (Some(20), Some(40), false, true)
    );
    assert_eq!(query.fields, ["uuid", "name"], "only the first fields parameter is used");
    assert_eq!((query.group_by.as_deref(), query.filter_name.as_deref()), (Some("hostUuid"), Some("x")));
    assert_eq!(parse_query("", None).unwrap(), QueryText::default());
    assert_eq!(
        parse_query("", Some(UUID)).unwrap().conditions,
        [parse_condition(&format!("uuid={UUID}")).unwrap()]
    );
}

#[test]
fn api_04_sorting_takes_blank_for_plus_and_forgives_the_java_sdk() {
    for (text, sort) in [
        ("sort=%2Bname", Some(("name", false))),
        ("sort=+name", Some(("name", false))),
        ("sort=name", Some(("name", false))),
        ("sort=-name", Some(("name", true))),
        ("sort=+null", None),
        ("sort=%2Bnull", None),
        ("sort=-null", None),
        ("sort=", None),
    ] {
        let read = parse_query(text, None).unwrap().sort;
        assert_eq!(read.as_ref().map(|s| (s.field.as_str(), s.descending)), sort, "{text}");
    }
}

#[test]
fn api_04_bad_query_syntax_is_refused_in_plain_text() {
    for bad in
        ["limit=ten", "start=1.5", "limit=1&limit=2", "q=name", "count=maybe", "q=name%", "replyWithCount=1"]
    {
        let refused = parse_query(bad, None).unwrap_err();
        assert!(matches!(refused, Refusal::Problem(Problem::BadRequest(_))), "{bad}: {refused}");
    }
    assert!(matches!(parse_query("limit=-1", None), Err(Refusal::Fault(f)) if f.code == "SYS.1007"));
    for fine in ["limit=", "limit=0", "count=", "q=", "limit=99999999999"] {
        assert!(parse_query(fine, None).is_ok(), "{fine}");
    }
}
