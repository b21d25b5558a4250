//! Runs a program.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use cairn_api::request::parse_condition;
use cairn_api::resource::find_by_name;
use cairn_store::Tx;
use cairn_types::{Fault, Result};
use serde_json::Value as Json;

use super::Limits;
use super::lenient;
use super::lexer::at_line;
use super::parser::{Closure, Expr, Statement, Target, What};
use super::value::{Heap, Val};
use crate::fault::too_much;
use crate::query::{Filter, Op};
use crate::{Caller, Options, Query, Sort, Viewer, run, zql};

/// How a statement ended.
enum Flow {
    On(Val),
    Return(Val),
}

pub(super) struct Machine<'a> {
    tx: &'a mut dyn Tx,
    viewer: &'a Viewer,
    caller: &'a dyn Caller,
    options: &'a Options,
    pub(super) heap: Heap,
    /// Names by scope, the innermost last. The first holds what the script assigns without `def`.
    scopes: Vec<HashMap<String, Val>>,
    output: BTreeMap<String, Val>,
    steps: u64,
    queries: u32,
    until: Instant,
}

impl<'a> Machine<'a> {
    pub fn new(
        tx: &'a mut dyn Tx,
        viewer: &'a Viewer,
        caller: &'a dyn Caller,
        options: &'a Options,
        limits: Limits,
    ) -> Self {
        Self {
            tx,
            viewer,
            caller,
            options,
            heap: Heap::new(limits.memory),
            scopes: vec![HashMap::new()],
            output: BTreeMap::new(),
            steps: limits.steps,
            queries: limits.queries,
            until: Instant::now() + Duration::from_millis(limits.time_ms),
        }
    }

    pub fn run(&mut self, program: &[Statement]) -> Result<()> {
        self.block(program).map(|_| ())
    }

    pub fn into_output(mut self) -> Result<Json> {
        let left = &mut self.heap.left;
        let pairs = self.output.iter().map(|(k, v)| Ok((k.clone(), v.to_json(left, 0)?)));
        Ok(Json::Object(pairs.collect::<Result<_>>()?))
    }

    pub(super) fn tick(&mut self) -> Result<()> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| too_much("the script takes too many steps"))?;
        if self.steps.is_multiple_of(1024) && Instant::now() > self.until {
            return Err(too_much("the script takes too long"));
        }
        Ok(())
    }

    fn block(&mut self, statements: &[Statement]) -> Result<Flow> {
        let mut last = Val::Null;
        for statement in statements {
            let flow = self.statement(&statement.what).map_err(|fault| located(fault, statement.line))?;
            match flow {
                Flow::On(value) => last = value,
                Flow::Return(_) => return Ok(flow),
            }
        }
        Ok(Flow::On(last))
    }

    /// A block with names of its own.
    fn scoped(&mut self, names: HashMap<String, Val>, statements: &[Statement]) -> Result<Flow> {
        self.scopes.push(names);
        let flow = self.block(statements);
        self.scopes.pop();
        flow
    }

    fn statement(&mut self, what: &What) -> Result<Flow> {
        self.tick()?;
        match what {
            What::Define(name, value) => {
                let value = value.as_ref().map_or(Ok(Val::Null), |v| self.value(v))?;
                if let Some(scope) = self.scopes.last_mut() {
                    scope.insert(name.clone(), value);
                }
                Ok(Flow::On(Val::Null))
            }
            What::Assign(target, op, value) => self.assign(target, *op, value).map(Flow::On),
            What::If(test, then, otherwise) => {
                let branch = if self.value(test)?.truth() { then } else { otherwise };
                self.scoped(HashMap::new(), branch)
            }
            What::For(name, list, body) => {
                for item in self.items(list)? {
                    if let Flow::Return(value) = self.scoped(HashMap::from([(name.clone(), item)]), body)? {
                        return Ok(Flow::Return(value));
                    }
                }
                Ok(Flow::On(Val::Null))
            }
            What::Return(value) => Ok(Flow::Return(value.as_ref().map_or(Ok(Val::Null), |v| self.value(v))?)),
            What::Value(value) => self.value(value).map(Flow::On),
        }
    }

    fn items(&mut self, list: &Expr) -> Result<Vec<Val>> {
        match self.value(list)? {
            Val::List(list) => Ok(list.borrow().clone()),
            Val::Null => Ok(Vec::new()),
            other => Err(Fault::argument(format!("{} has no elements", other.kind()))),
        }
    }

    fn assign(&mut self, target: &Target, op: Option<&'static str>, value: &Expr) -> Result<Val> {
        let mut new = self.value(value)?;
        match target {
            Target::Name(name) => {
                if let Some(op) = op {
                    let old = self.lookup(name)?;
                    new = self.binary(op, old, new)?;
                }
                let scope = self.scopes.iter().rposition(|s| s.contains_key(name)).unwrap_or(0);
                self.scopes[scope].insert(name.clone(), new.clone());
            }
            Target::Item(of, key) => {
                let (of, key) = (self.value(of)?, self.value(key)?);
                if let Some(op) = op {
                    let old = self.index(&of, &key)?;
                    new = self.binary(op, old, new)?;
                }
                self.set(&of, &key, new.clone())?;
            }
        }
        Ok(new)
    }

    fn set(&mut self, of: &Val, key: &Val, value: Val) -> Result<()> {
        self.heap.charge(64)?;
        match (of, key) {
            (Val::Map(map), key) => {
                map.borrow_mut().insert(Rc::from(key.show(&mut self.heap.left)?), value);
                Ok(())
            }
            (Val::List(list), Val::Int(at)) => {
                let mut list = list.borrow_mut();
                let slot = usize::try_from(*at).ok().and_then(|at| list.get_mut(at));
                *slot.ok_or_else(|| Fault::argument(format!("the list has no element {at}")))? = value;
                Ok(())
            }
            (other, _) => Err(Fault::argument(format!("{} has nothing that can be set", other.kind()))),
        }
    }

    fn lookup(&self, name: &str) -> Result<Val> {
        let found = self.scopes.iter().rev().find_map(|s| s.get(name));
        found.cloned().ok_or_else(|| Fault::argument(format!("there is no {name:?}")))
    }

    pub(super) fn value(&mut self, expr: &Expr) -> Result<Val> {
        self.tick()?;
        match expr {
            Expr::Null => Ok(Val::Null),
            Expr::Bool(b) => Ok(Val::Bool(*b)),
            Expr::Int(n) => Ok(Val::Int(*n)),
            Expr::Real(n) => Ok(Val::Real(*n)),
            Expr::Text(s) => self.heap.text(s.as_str()),
            Expr::Join(parts) => {
                let mut text = String::new();
                for part in parts {
                    let shown = self.value(part)?.show(&mut self.heap.left)?;
                    self.heap.charge(shown.len())?;
                    text.push_str(&shown);
                }
                self.heap.text(text)
            }
            Expr::Name(name) => self.lookup(name),
            Expr::List(items) => {
                let items = items.iter().map(|i| self.value(i)).collect::<Result<_>>()?;
                self.heap.list(items)
            }
            Expr::Map(items) => {
                let pair = |(k, v): &(Expr, Expr)| {
                    Ok((Rc::from(self.value(k)?.show(&mut self.heap.left)?), self.value(v)?))
                };
                let items = items.iter().map(pair).collect::<Result<_>>()?;
                self.heap.map(items)
            }
            Expr::Field(of, name, safe) => match self.value(of)? {
                Val::Null if *safe => Ok(Val::Null),
                of => self.field(&of, name),
            },
            Expr::Index(of, key) => {
                let (of, key) = (self.value(of)?, self.value(key)?);
                self.index(&of, &key)
            }
            Expr::Call(name, args) => {
                let args = args.iter().map(|a| self.value(a)).collect::<Result<Vec<_>>>()?;
                self.function(name, &args)
            }
            Expr::Method(of, name, args, closure, safe) => {
                let of = self.value(of)?;
                if *safe && matches!(of, Val::Null) {
                    return Ok(Val::Null);
                }
                let args = args.iter().map(|a| self.value(a)).collect::<Result<Vec<_>>>()?;
                self.method(&of, name, &args, closure.as_ref())
            }
            Expr::Not(inner) => Ok(Val::Bool(!self.value(inner)?.truth())),
            Expr::Minus(inner) => {
                let zero = Val::Int(0);
                let value = self.value(inner)?;
                self.binary("-", zero, value)
            }
            Expr::Binary("&&", a, b) => Ok(Val::Bool(self.value(a)?.truth() && self.value(b)?.truth())),
            Expr::Binary("||", a, b) => Ok(Val::Bool(self.value(a)?.truth() || self.value(b)?.truth())),
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                self.binary(op, a, b)
            }
            Expr::Choice(test, yes, no) => {
                if self.value(test)?.truth() {
                    self.value(yes)
                } else {
                    self.value(no)
                }
            }
            Expr::Elvis(value, otherwise) => {
                let value = self.value(value)?;
                if value.truth() { Ok(value) } else { self.value(otherwise) }
            }
        }
    }

    /// `a.b`: an entry of a map, or of every map of a list.
    pub(super) fn field(&mut self, of: &Val, name: &str) -> Result<Val> {
        match of {
            Val::Map(map) => Ok(map.borrow().get(name).cloned().unwrap_or(Val::Null)),
            Val::List(list) => {
                let items = list.borrow().clone();
                let fields = items.iter().map(|i| {
                    self.tick()?;
                    self.field(i, name)
                });
                let fields = fields.collect::<Result<_>>()?;
                self.heap.list(fields)
            }
            other => Err(Fault::argument(format!("{} has no {name:?}", other.kind()))),
        }
    }

    fn index(&mut self, of: &Val, key: &Val) -> Result<Val> {
        match (of, key) {
            (Val::List(list), Val::Int(at)) => {
                let list = list.borrow();
                let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
                let at = if *at < 0 { at + length } else { *at };
                Ok(usize::try_from(at).ok().and_then(|at| list.get(at)).cloned().unwrap_or(Val::Null))
            }
            (_, key) => {
                let key = key.show(&mut self.heap.left)?;
                self.field(of, &key)
            }
        }
    }

    /// Calls a closure with these values.
    pub(super) fn apply(&mut self, closure: &Closure, args: &[Val]) -> Result<Val> {
        self.tick()?;
        let first = args.first().cloned().unwrap_or(Val::Null);
        let names = match closure.params.as_slice() {
            [] => HashMap::from([("it".to_owned(), first)]),
            params => {
                let given = args.iter().cloned().chain(std::iter::repeat(Val::Null));
                params.iter().cloned().zip(given).collect()
            }
        };
        match self.scoped(names, &closure.body)? {
            Flow::On(value) | Flow::Return(value) => Ok(value),
        }
    }

    fn function(&mut self, name: &str, args: &[Val]) -> Result<Val> {
        match (name, args) {
            ("put", [key, value]) => {
                self.output.insert(key.show(&mut self.heap.left)?, value.clone());
                Ok(Val::Null)
            }
            ("query", [text]) => {
                let text = text.show(&mut self.heap.left)?;
                self.count_query()?;
                let answer = self.query(&text)?;
                self.heap.json(&answer)
            }
            ("zql", [text]) => {
                self.count_query()?;
                let text = text.show(&mut self.heap.left)?;
                let answer = zql::answer(self.tx, &text, self.viewer, self.caller, self.options)?;
                self.heap.json(&answer["results"])
            }
            ("call", [action, params]) => {
                self.count_query()?;
                let action = action.show(&mut self.heap.left)?;
                let params = lenient::parse(&params.show(&mut self.heap.left)?)?;
                let answer = self.caller.call(self.tx, short_name(&action, "API"), &params)?;
                self.heap.json(&serde_json::json!({ "result": answer }))
            }
            ("put" | "call", _) => Err(Fault::argument(format!("{name} takes two values"))),
            ("query" | "zql", _) => Err(Fault::argument(format!("{name} takes one text"))),
            _ => Err(Fault::argument(format!(
                "there is no function {name:?}; there are query, zql, call and put"
            ))),
        }
    }

    fn count_query(&mut self) -> Result<()> {
        self.queries =
            self.queries.checked_sub(1).ok_or_else(|| too_much("the script makes too many queries"))?;
        if Instant::now() > self.until {
            return Err(too_much("the script takes too long"));
        }
        Ok(())
    }

    /// `QueryVmInstance state=Running limit=10`.
    fn query(&mut self, text: &str) -> Result<Json> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let short = short_name(name, "Query");
        let resource = find_by_name(short).filter(|r| !r.table.is_empty() && short.len() < name.len());
        let resource = resource.ok_or_else(|| Fault::argument(format!("there is no query {name:?}")))?;
        if !self.caller.may_query(resource) {
            return Ok(serde_json::json!({"total": 0, "result": []}));
        }
        let found = run(self.tx, resource, &words_to_query(words)?, self.viewer, self.options)?;
        let mut answer = serde_json::Map::new();
        answer.extend(found.total.map(|t| ("total".to_owned(), t.into())));
        if !found.count_only {
            answer.insert("result".to_owned(), Json::Array(found.inventories));
        }
        Ok(Json::Object(answer))
    }
}

/// The first statement that failed is the one to name.
fn located(fault: Fault, line: usize) -> Fault {
    if fault.params.contains_key("line") {
        return fault;
    }
    let text = fault.details.clone();
    let code = fault.code.clone();
    let mut named = at_line(line, text);
    named.code = code;
    named.params.extend(fault.params);
    named.cause = fault.cause;
    named.operator = fault.operator;
    named
}

/// `org.zstack.x.APIGetZoneMsg` and `GetZone` are both `GetZone`; for queries without `Query` also.
fn short_name<'n>(name: &'n str, prefix: &str) -> &'n str {
    let last = name.rsplit('.').next().unwrap_or(name);
    let last = last.strip_prefix("API").and_then(|n| n.strip_suffix("Msg")).unwrap_or(last);
    match last.get(..prefix.len()) {
        Some(begin) if begin.eq_ignore_ascii_case(prefix) => &last[prefix.len()..],
        _ => last,
    }
}

fn words_to_query<'w>(words: impl Iterator<Item = &'w str>) -> Result<Query> {
    let mut query = Query::default();
    let (mut sort, mut descending) = (None, false);
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "fields" => {
                query.fields = value.split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect()
            }
            "limit" => query.limit = Some(number(word, value)?),
            "start" => query.start = number(word, value)?,
            "sortBy" => sort = Some(value.to_owned()),
            "sortDirection" => descending = value.eq_ignore_ascii_case("desc"),
            "groupBy" => query.group_by = Some(value.to_owned()),
            "count" => query.count = value.eq_ignore_ascii_case("true"),
            "replyWithCount" => query.with_total = value.eq_ignore_ascii_case("true"),
            _ => query.filters.push(condition(word)?),
        }
    }
    query.sort.extend(sort.filter(|s| !s.is_empty()).map(|field| Sort { field, descending }));
    Ok(query)
}

fn number(word: &str, value: &str) -> Result<i64> {
    let number =
        value.parse::<u32>().map_err(|_| Fault::argument(format!("{word:?} must be a whole number")))?;
    Ok(number.into())
}

fn condition(word: &str) -> Result<Filter> {
    let mut condition = parse_condition(word).map_err(|e| Fault::argument(e.to_string()))?;
    condition.op = match (condition.op, condition.value.as_str()) {
        (Op::Eq, "null") => Op::IsNull,
        (Op::NotEq, "null") => Op::NotNull,
        (op, _) => op,
    };
    Ok(Filter::Is(condition))
}
