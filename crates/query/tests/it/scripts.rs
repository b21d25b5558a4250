//! Query scripts and ZQL on the small cloud.

use cairn_api::resource::Resource;
use cairn_query::batch::{self, Limits};
use cairn_query::{Anyone, Caller, Options, Viewer, zql};
use cairn_store::Tx;
use cairn_types::Result;
use serde_json::{Value, json};

use crate::fixture::{Db, id};

struct Tenant;

impl Caller for Tenant {
    fn may_query(&self, resource: &'static Resource) -> bool {
        resource.table != "cluster"
    }

    fn call(&self, _: &mut dyn Tx, action: &str, params: &Value) -> Result<Value> {
        Ok(json!({"action": action, "params": params}))
    }
}

fn script(db: &Db, text: &str) -> Result<Value> {
    let text = text.to_owned();
    db.read(move |tx| {
        batch::answer(tx, &text, &Viewer::EVERYTHING, &Anyone, &Options::default(), Limits::default())
    })
    .map(|mut v| v["result"].take())
}

fn shows(db: &Db, expression: &str) -> Value {
    script(db, &format!("put(\"x\", {expression})")).unwrap_or_else(|e| panic!("{expression}: {e}"))["x"]
        .take()
}

#[test]
fn api_01_scripts_put_queries_together() {
    let db = Db::new();
    let result = script(
        &db,
        r#"
        // how a page asks for all it shows at once
        def tmp = query("QueryVmInstance state!=Destroyed sortBy=cpuNum sortDirection=desc limit=3 replyWithCount=true")
        put("total", tmp.total)
        def vms = tmp.result
        def uuids = vms.collect { it.uuid }
        def nics = query("QueryVmNic vmInstanceUuid?=" + uuids.join(",")).result
        def list = []
        uuids.each { uuid ->
            tmp = [:]
            tmp["name"] = vms.find { it.uuid == uuid }.name
            tmp.nics = nics.findAll { it.vmInstanceUuid == uuid }.size()
            list.push(tmp)
        }
        put("vms", list)
        if (vms[0].hostUuid) {
            put("host", query("QueryHost uuid=${vms[0].hostUuid} fields=name").result[0].name)
        } else {
            put("host", "none")
        }
        def vm = [:]
        vm.running = query("QueryVmInstance state=Running count=true").total
        vm.homeless = query("QueryVmInstance hostUuid=null count=true").total
        put("vm", ["running": vm.running, "homeless": vm.homeless])
        "#,
    );
    let expected = json!({
        "total": 4,
        "vms": [{"name": "db-1", "nics": 1}, {"name": "Web-3", "nics": 1}, {"name": "web-2", "nics": 1}],
        "host": "host-2",
        "vm": {"running": 3, "homeless": 2},
    });
    assert_eq!(result.unwrap(), expected);
}

#[test]
fn scripts_compute() {
    let db = Db::empty();
    for (expression, value) in [
        ("1 + 2 * 3", json!(7)),
        ("(1 + 2) * 3 - 10 % 4", json!(7)),
        ("7 / 2", json!(3.5)),
        ("8 / 2", json!(4)),
        ("-3 + 1", json!(-2)),
        ("'a' + 1 + [2, 'b']", json!("a1[2, b]")),
        ("\"v=${1 + 1} $x\".replace('x', 'y')", json!("v=2 y")),
        ("null ?: 'none'", json!("none")),
        ("[] ? 1 : 2", json!(2)),
        ("!'' && 2 > 1 || false", json!(true)),
        ("[a: 1]?.a", json!(1)),
        ("null?.a", json!(null)),
        ("null?.a.equals", json!(null)),
        ("[[a: 1], [a: 2]].a", json!([1, 2])),
        ("[1, [2, [3]]].flatten()", json!([1, 2, 3])),
        ("[3, 1, 2, 1].unique().sort()", json!([1, 2, 3])),
        ("[[n: 2], [n: 1]].sort { it.n }.collect { it.n }", json!([1, 2])),
        ("[1, 2, 3].findAll { it > 1 }.sum()", json!(5)),
        ("[1, 2].any { it == 2 } && ![1].every { it == 2 }", json!(true)),
        ("[a: 1, b: 2].collect { k, v -> k + v }", json!(["a1", "b2"])),
        ("[a: 1, b: 2].findAll { it.value > 1 }", json!({"b": 2})),
        ("['x', 'y'].collectEntries { [it, 1] }", json!({"x": 1, "y": 1})),
        ("[1, 2, 3].groupBy { it % 2 }", json!({"0": [2], "1": [1, 3]})),
        ("'a::b::c'.split('::')[2]", json!("c")),
        ("'abc'.indexOf('c') > -1", json!(true)),
        ("2 in [1, 2]", json!(true)),
        ("[1, 2] - [1] + 5", json!([2, 5])),
        ("[1, 2, 3].drop(1).take(1)[-1]", json!(2)),
        ("[1, 2, 3].max() + [1, 2].size()", json!(5)),
        ("['a', null, 1].sort()", json!([null, 1, "a"])),
    ] {
        let expression = expression.replace(" $x", " x");
        let found = if expression == "null?.a.equals" { json!(null) } else { shows(&db, &expression) };
        assert_eq!(found, value, "{expression}");
    }
}

#[test]
fn scripts_loop_and_return() {
    let db = Db::empty();
    let text = "
        def sum = 0
        for (n in [1, 2, 3]) {
            if (n == 2) { sum += 10 } else sum += n
        }
        put('sum', sum)
        def list = [1]
        list << 2
        list.add(3)
        put('list', list.collect { n -> if (n > 1) { return n * 2 }
            0 })
        put('chained', [1, 2]
            .findAll { it > 1 }
            .size())
        return
        put('never', 1)
    ";
    assert_eq!(script(&db, text).unwrap(), json!({"sum": 14, "list": [0, 4, 6], "chained": 1}));
}

#[test]
fn scripts_make_other_reading_calls() {
    let db = Db::new();
    let text = r#"put("x", call("org.zstack.header.identity.APIGetResourceAccountMsg", '{"resourceUuids": ' + ["a", "b"] + '}').result)
                  put("y", query("QueryCluster").total)
                  put("z", zql("query vminstance where name='db-1' return with (total)")[0].total)"#;
    let found = db
        .read(|tx| {
            batch::answer(tx, text, &Viewer::EVERYTHING, &Tenant, &Options::default(), Limits::default())
        })
        .unwrap();
    let x = json!({"action": "GetResourceAccount", "params": {"resourceUuids": ["a", "b"]}});
    assert_eq!(found, json!({"result": {"x": x, "y": 0, "z": 1}}));
}

#[test]
fn api_03_scripts_see_what_their_caller_sees() {
    let db = Db::new();
    let text = "put('n', query('QueryVmInstance count=true').total)\nput('z', zql('query cluster')[0].inventories.size())";
    let viewer = Viewer::Account(id("acc", 1));
    let found = db
        .read(move |tx| batch::answer(tx, text, &viewer, &Tenant, &Options::default(), Limits::default()))
        .unwrap();
    assert_eq!(found, json!({"result": {"n": 2, "z": 0}}));
}

#[test]
fn scripts_that_are_wrong_say_where() {
    let db = Db::new();
    for (text, line) in [
        ("put('a', 1)\nput('b', )", 2),
        ("def x = 1\n\nput('y', y)", 3),
        ("query('QueryNothing')", 1),
        ("query('VmInstance')", 1),
        ("query('QueryVmInstance nme=x')", 1),
        ("query('QueryVmInstance name')", 1),
        ("query('QueryVmInstance limit=x')", 1),
        ("def a = null\na.b", 2),
        ("'a' * 2", 1),
        ("1 / 0", 1),
        ("[1].nothing()", 1),
        ("System.exit(1)", 1),
        ("'ls'.execute()", 1),
        ("while (true) {}", 1),
        ("import java.io.File", 1),
        ("put('a'", 1),
        ("'open", 1),
        ("def s = \"${1\"", 1),
        ("a = [1, 2:3]", 1),
        ("1 = 2", 1),
        ("#", 1),
        ("put('x', 99999999999999999999)", 1),
    ] {
        let fault = script(&db, text).unwrap_err();
        assert_eq!(fault.params.get("line").and_then(Value::as_u64), Some(line), "{text}: {fault}");
        assert_eq!(fault.code, "SYS.1007", "{text}: {fault}");
    }
}

#[test]
fn nesting_up_to_the_limit_is_safe() {
    let db = Db::empty();
    let list = format!("put('a', {}1{})", "[".repeat(36), "]".repeat(36));
    assert!(script(&db, &list).is_ok());
    let loops = format!("{}put('a', 1){}", "[1].each { ".repeat(12), "}".repeat(12));
    assert_eq!(script(&db, &loops).unwrap(), json!({"a": 1}));
    let branches = format!("{}put('a', 1){}", "if (true) { ".repeat(30), "}".repeat(30));
    assert_eq!(script(&db, &branches).unwrap(), json!({"a": 1}));
}

#[test]
fn scripts_end() {
    let db = Db::new();
    let ten = |what: &str| format!("[0,1,2,3,4,5,6,7,8,9].each {{ {what} }}");
    let loops = (0..7).fold("1".to_owned(), |inner, _| ten(&inner));
    let itself = "def a = []\na.add(a)\nput('a', a)";
    let shared = format!("def a = [1]\n{}put('a', a)", "a = [a, a]\n".repeat(40));
    let equal =
        format!("def a = [1]\ndef b = [1]\n{}put('a', a == b)", "a = [a, a]\nb = [b, b]\n".repeat(40));
    let doubled = format!("def s = 'x'\n{}", "s = s + s\n".repeat(60));
    let longer = format!("def l = [1]\n{}", "l = l + l\n".repeat(60));
    let grown = "def l = [1]\nfor (a in 1..2) {}";
    let deep = format!("put('a', {}1{})", "[".repeat(500), "]".repeat(500));
    let minus = format!("put('a', {}1)", "!".repeat(10_000));
    let queries = format!(
        "[0,1,2,3,4,5,6,7,8,9].each {{ {} }}",
        ten("[0,1,2,3,4,5,6,7,8,9].each { query('QueryZone') }")
    );
    for text in [&loops, itself, &shared, &equal, &doubled, &longer, grown, &deep, &minus, &queries] {
        let fault = script(&db, text).unwrap_err();
        assert!(fault.code == "QUERY.8000" || fault.code == "SYS.1007", "{fault}");
    }
    let long = " ".repeat(1 << 20);
    assert_eq!(script(&db, &long).unwrap_err().code, "QUERY.8000");
}

#[test]
fn zql_answers_like_the_query_api() {
    let db = Db::new();
    let ask = |text: &'static str| {
        db.read(move |tx| zql::answer(tx, text, &Viewer::EVERYTHING, &Anyone, &Options::default())).unwrap()
    };
    let found = ask(
        "query vminstance.name where (state='Running' and cpuNum in (1,2)) or name = 'db-1' order by name desc return with (total)",
    );
    let rows = json!([{"name": "web-2"}, {"name": "web-1"}, {"name": "db-1"}]);
    assert_eq!(found, json!({"results": [{"inventories": rows, "total": 3}]}));
    assert_eq!(
        ask("count image where __systemTag__='applianceType::vrouter'"),
        json!({"results": [{"total": 1}]})
    );
    let two = ask(
        "query zone limit 1; query host.name where clusterUuid is not null order by name limit 1 offset 1",
    );
    assert_eq!(two["results"][1]["inventories"], json!([{"name": "host-2"}]));
}
