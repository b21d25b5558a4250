//! Operators, and the methods of lists, maps, texts and numbers.
//!
//! Lists: `size isEmpty get first last contains indexOf join add push addAll collect findAll find each eachWithIndex any
//! every count unique sort flatten sum max min reverse take drop groupBy collectEntries`.
//! Maps: `size isEmpty get put containsKey keySet values each collect findAll find any every`.
//! Texts: `size length isEmpty contains startsWith endsWith indexOf split replace trim toLowerCase toUpperCase substring
//! toInteger toLong`. Everything: `toString`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use cairn_types::{Fault, Result};

use super::eval::Machine;
use super::parser::Closure;
use super::value::Val;

impl Machine<'_> {
    pub(super) fn binary(&mut self, op: &str, a: Val, b: Val) -> Result<Val> {
        match (op, &a, &b) {
            ("==", ..) => Ok(Val::Bool(a.same(&b, &mut self.heap.left, 0)?)),
            ("!=", ..) => Ok(Val::Bool(!a.same(&b, &mut self.heap.left, 0)?)),
            ("<", ..) => compared(&a, &b, Ordering::is_lt),
            (">", ..) => compared(&a, &b, Ordering::is_gt),
            ("<=", ..) => compared(&a, &b, Ordering::is_le),
            (">=", ..) => compared(&a, &b, Ordering::is_ge),
            ("in", _, Val::List(list)) => self.contains(&list.borrow().clone(), &a),
            ("in", _, Val::Map(map)) => {
                Ok(Val::Bool(map.borrow().contains_key(a.show(&mut self.heap.left)?.as_str())))
            }
            ("<<", Val::List(list), _) => {
                self.heap.charge(16)?;
                list.borrow_mut().push(b);
                Ok(a)
            }
            ("+", Val::List(x), Val::List(y)) => {
                let items = x.borrow().iter().chain(y.borrow().iter()).cloned().collect();
                self.heap.list(items)
            }
            ("+", Val::List(x), _) => {
                let items = x.borrow().iter().chain([&b]).cloned().collect();
                self.heap.list(items)
            }
            ("+", Val::Map(x), Val::Map(y)) => {
                let items =
                    x.borrow().iter().chain(y.borrow().iter()).map(|(k, v)| (k.clone(), v.clone())).collect();
                self.heap.map(items)
            }
            ("-", Val::List(x), Val::List(y)) => {
                let (x, y) = (x.borrow().clone(), y.borrow().clone());
                let mut rest = Vec::new();
                for item in x {
                    if !self.contains(&y, &item)?.truth() {
                        rest.push(item);
                    }
                }
                self.heap.list(rest)
            }
            ("+", Val::Text(_), _) | ("+", _, Val::Text(_)) => {
                let text = a.show(&mut self.heap.left)? + &b.show(&mut self.heap.left)?;
                self.heap.text(text)
            }
            _ => arithmetic(op, &a, &b),
        }
    }

    fn contains(&mut self, items: &[Val], wanted: &Val) -> Result<Val> {
        for item in items {
            self.tick()?;
            if item.same(wanted, &mut self.heap.left, 0)? {
                return Ok(Val::Bool(true));
            }
        }
        Ok(Val::Bool(false))
    }

    pub(super) fn method(
        &mut self,
        of: &Val,
        name: &str,
        args: &[Val],
        closure: Option<&Closure>,
    ) -> Result<Val> {
        let found = match (of, name, args) {
            (_, "toString", []) => {
                let text = of.show(&mut self.heap.left)?;
                Some(self.heap.text(text)?)
            }
            (Val::List(list), ..) => {
                if let Some(done) = self.change_list(list, name, args)? {
                    return Ok(done);
                }
                let items = list.borrow().clone();
                match closure {
                    Some(closure) => self.list_with(of, &items, name, closure)?,
                    None => self.list(&items, name, args)?,
                }
            }
            (Val::Map(map), ..) => {
                let items = map.borrow().clone();
                match closure {
                    Some(closure) => self.map_with(of, &items, name, closure)?,
                    None => self.map(of, &items, name, args)?,
                }
            }
            (Val::Text(text), ..) => self.text(text, name, args)?,
            _ => None,
        };
        found.ok_or_else(|| Fault::argument(format!("{} has no {name:?} with these arguments", of.kind())))
    }

    fn change_list(
        &mut self,
        list: &Rc<std::cell::RefCell<Vec<Val>>>,
        name: &str,
        args: &[Val],
    ) -> Result<Option<Val>> {
        let new = match (name, args) {
            ("add" | "push" | "leftShift", [item]) => vec![item.clone()],
            ("addAll", [Val::List(more)]) => more.borrow().clone(),
            _ => return Ok(None),
        };
        self.heap.charge(new.len() * 16)?;
        list.borrow_mut().extend(new);
        Ok(Some(Val::Bool(true)))
    }

    fn list(&mut self, items: &[Val], name: &str, args: &[Val]) -> Result<Option<Val>> {
        self.heap.charge(items.len())?;
        let value = match (name, args) {
            ("size" | "count", []) => Val::Int(length(items.len())),
            ("isEmpty", []) => Val::Bool(items.is_empty()),
            ("get", [Val::Int(at)]) => at_place(items, *at),
            ("first", []) => items.first().cloned().unwrap_or(Val::Null),
            ("last", []) => items.last().cloned().unwrap_or(Val::Null),
            ("contains", [item]) => self.contains(items, item)?,
            ("indexOf", [item]) => {
                let mut place = -1;
                for (n, other) in items.iter().enumerate() {
                    if place < 0 && other.same(item, &mut self.heap.left, 0)? {
                        place = length(n);
                    }
                }
                Val::Int(place)
            }
            ("join", separator) => {
                let between = separator.first().map_or(Ok(String::new()), |s| s.show(&mut self.heap.left))?;
                let shown = items.iter().map(|i| i.show(&mut self.heap.left)).collect::<Result<Vec<_>>>()?;
                self.heap.text(shown.join(&between))?
            }
            ("unique" | "toSet", []) => self.unique(items)?,
            ("toList", []) => self.heap.list(items.to_vec())?,
            ("sort", []) => self.sorted(items.iter().map(|i| (i.clone(), i.clone())).collect())?,
            ("flatten", []) => {
                let mut flat = Vec::new();
                self.flatten(items, &mut flat, 0)?;
                self.heap.list(flat)?
            }
            ("sum", []) => self.sum(items)?,
            ("max", []) => extreme(items, Ordering::is_gt),
            ("min", []) => extreme(items, Ordering::is_lt),
            ("reverse", []) => self.heap.list(items.iter().rev().cloned().collect())?,
            ("take", [Val::Int(n)]) => self.heap.list(items[..bounded(*n, items.len())].to_vec())?,
            ("drop", [Val::Int(n)]) => self.heap.list(items[bounded(*n, items.len())..].to_vec())?,
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn list_with(&mut self, of: &Val, items: &[Val], name: &str, closure: &Closure) -> Result<Option<Val>> {
        if name == "each" || name == "eachWithIndex" {
            for (n, item) in items.iter().enumerate() {
                self.apply(
                    closure,
                    &[item.clone(), Val::Int(length(n))][..if name == "each" { 1 } else { 2 }],
                )?;
            }
            return Ok(Some(of.clone()));
        }
        let mut results = Vec::new();
        for item in items {
            let result = self.apply(closure, std::slice::from_ref(item))?;
            match (name, result.truth()) {
                ("find", true) => return Ok(Some(item.clone())),
                ("any", true) => return Ok(Some(Val::Bool(true))),
                ("every", false) => return Ok(Some(Val::Bool(false))),
                _ => results.push((result, item.clone())),
            }
        }
        let value = match name {
            "find" => Val::Null,
            "any" => Val::Bool(false),
            "every" => Val::Bool(true),
            "collect" => self.heap.list(results.into_iter().map(|(r, _)| r).collect())?,
            "findAll" => {
                self.heap.list(results.into_iter().filter(|(r, _)| r.truth()).map(|(_, i)| i).collect())?
            }
            "count" => Val::Int(length(results.iter().filter(|(r, _)| r.truth()).count())),
            "sum" => self.sum(&results.into_iter().map(|(r, _)| r).collect::<Vec<_>>())?,
            "sort" => self.sorted(results)?,
            "groupBy" => self.grouped(results)?,
            "collectEntries" => self.entries(results)?,
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn map(
        &mut self,
        of: &Val,
        items: &BTreeMap<Rc<str>, Val>,
        name: &str,
        args: &[Val],
    ) -> Result<Option<Val>> {
        self.heap.charge(items.len())?;
        let value = match (name, args) {
            ("size", []) => Val::Int(length(items.len())),
            ("isEmpty", []) => Val::Bool(items.is_empty()),
            ("get", [key]) => {
                items.get(key.show(&mut self.heap.left)?.as_str()).cloned().unwrap_or(Val::Null)
            }
            ("put", [key, value]) => {
                let Val::Map(map) = of else { return Ok(None) };
                self.heap.charge(64)?;
                map.borrow_mut()
                    .insert(Rc::from(key.show(&mut self.heap.left)?), value.clone())
                    .unwrap_or(Val::Null)
            }
            ("containsKey", [key]) => Val::Bool(items.contains_key(key.show(&mut self.heap.left)?.as_str())),
            ("keySet", []) => self.heap.list(items.keys().cloned().map(Val::Text).collect())?,
            ("values", []) => self.heap.list(items.values().cloned().collect())?,
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn map_with(
        &mut self,
        of: &Val,
        items: &BTreeMap<Rc<str>, Val>,
        name: &str,
        closure: &Closure,
    ) -> Result<Option<Val>> {
        let mut results = Vec::new();
        for (key, value) in items {
            let (text, entry) = (Val::Text(key.clone()), self.entry(key, value)?);
            let two = [text, value.clone()];
            let args = if closure.params.len() == 2 { &two[..] } else { std::slice::from_ref(&entry) };
            let result = self.apply(closure, args)?;
            match (name, result.truth()) {
                ("find", true) => return Ok(Some(entry)),
                ("any", true) => return Ok(Some(Val::Bool(true))),
                ("every", false) => return Ok(Some(Val::Bool(false))),
                _ => results.push((result, key.clone(), value.clone())),
            }
        }
        let value = match name {
            "each" => of.clone(),
            "find" => Val::Null,
            "any" => Val::Bool(false),
            "every" => Val::Bool(true),
            "collect" => self.heap.list(results.into_iter().map(|(r, ..)| r).collect())?,
            "findAll" => {
                let kept = results.into_iter().filter(|(r, ..)| r.truth()).map(|(_, k, v)| (k, v)).collect();
                self.heap.map(kept)?
            }
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn entry(&mut self, key: &Rc<str>, value: &Val) -> Result<Val> {
        let pairs = [(Rc::from("key"), Val::Text(key.clone())), (Rc::from("value"), value.clone())];
        self.heap.map(BTreeMap::from(pairs))
    }

    fn text(&mut self, text: &Rc<str>, name: &str, args: &[Val]) -> Result<Option<Val>> {
        let value = match (name, args) {
            ("size" | "length", []) => Val::Int(length(text.chars().count())),
            ("isEmpty", []) => Val::Bool(text.is_empty()),
            ("contains", [Val::Text(part)]) => Val::Bool(text.contains(&**part)),
            ("startsWith", [Val::Text(part)]) => Val::Bool(text.starts_with(&**part)),
            ("endsWith", [Val::Text(part)]) => Val::Bool(text.ends_with(&**part)),
            ("indexOf", [Val::Text(part)]) => {
                Val::Int(text.find(&**part).map_or(-1, |at| length(text[..at].chars().count())))
            }
            ("split" | "tokenize", [Val::Text(part)]) if !part.is_empty() => {
                let parts = text.split(&**part).map(|p| self.heap.text(p)).collect::<Result<_>>()?;
                self.heap.list(parts)?
            }
            ("replace", [Val::Text(old), Val::Text(new)]) if !old.is_empty() => {
                self.heap.charge(text.matches(&**old).count().saturating_mul(new.len()))?;
                self.heap.text(text.replace(&**old, new))?
            }
            ("trim", []) => self.heap.text(text.trim())?,
            ("toLowerCase", []) => self.heap.text(text.to_lowercase())?,
            ("toUpperCase", []) => self.heap.text(text.to_uppercase())?,
            ("substring", [Val::Int(from)]) => self.part(text, *from, i64::MAX)?,
            ("substring", [Val::Int(from), Val::Int(to)]) => self.part(text, *from, *to)?,
            ("toInteger" | "toLong", []) => {
                let number =
                    text.trim().parse().map_err(|_| Fault::argument(format!("{text:?} is no number")))?;
                Val::Int(number)
            }
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn part(&mut self, text: &str, from: i64, to: i64) -> Result<Val> {
        let (from, to) = (usize::try_from(from).unwrap_or(0), usize::try_from(to).unwrap_or(0));
        let part: String = text.chars().skip(from).take(to.saturating_sub(from)).collect();
        self.heap.text(part)
    }

    fn unique(&mut self, items: &[Val]) -> Result<Val> {
        let mut kept: Vec<Val> = Vec::new();
        for item in items {
            if !self.contains(&kept, item)?.truth() {
                kept.push(item.clone());
            }
        }
        self.heap.list(kept)
    }

    /// Items in the order of their keys; keys without an order stay as they came.
    fn sorted(&mut self, mut keyed: Vec<(Val, Val)>) -> Result<Val> {
        keyed.sort_by(|a, b| {
            rank(&a.0).cmp(&rank(&b.0)).then_with(|| a.0.order(&b.0).unwrap_or(Ordering::Equal))
        });
        self.heap.list(keyed.into_iter().map(|(_, item)| item).collect())
    }

    fn flatten(&mut self, items: &[Val], flat: &mut Vec<Val>, depth: usize) -> Result<()> {
        if depth > 60 {
            return Err(Fault::argument("a list of the script contains itself"));
        }
        for item in items {
            self.tick()?;
            match item {
                Val::List(inner) => self.flatten(&inner.borrow().clone(), flat, depth + 1)?,
                other => flat.push(other.clone()),
            }
        }
        Ok(())
    }

    fn sum(&mut self, items: &[Val]) -> Result<Val> {
        let mut total = Val::Int(0);
        for (n, item) in items.iter().enumerate() {
            self.tick()?;
            total = if n == 0 { item.clone() } else { self.binary("+", total, item.clone())? };
        }
        Ok(if items.is_empty() { Val::Null } else { total })
    }

    fn grouped(&mut self, keyed: Vec<(Val, Val)>) -> Result<Val> {
        let mut groups: BTreeMap<Rc<str>, Vec<Val>> = BTreeMap::new();
        for (key, item) in keyed {
            groups.entry(Rc::from(key.show(&mut self.heap.left)?)).or_default().push(item);
        }
        let groups =
            groups.into_iter().map(|(k, items)| Ok((k, self.heap.list(items)?))).collect::<Result<_>>()?;
        self.heap.map(groups)
    }

    /// Pairs or maps become one map.
    fn entries(&mut self, results: Vec<(Val, Val)>) -> Result<Val> {
        let mut map = BTreeMap::new();
        for (result, _) in results {
            match &result {
                Val::Map(one) => map.extend(one.borrow().iter().map(|(k, v)| (k.clone(), v.clone()))),
                Val::List(pair) if pair.borrow().len() == 2 => {
                    let pair = pair.borrow();
                    map.insert(Rc::from(pair[0].show(&mut self.heap.left)?), pair[1].clone());
                }
                other => return Err(Fault::argument(format!("{} is no entry of a map", other.kind()))),
            }
        }
        self.heap.map(map)
    }
}

/// Values of one kind stand together, so that sorting is always an order.
fn rank(value: &Val) -> u8 {
    match value {
        Val::Null => 0,
        Val::Bool(_) => 1,
        Val::Int(_) | Val::Real(_) => 2,
        Val::Text(_) => 3,
        Val::List(_) => 4,
        Val::Map(_) => 5,
    }
}

fn length(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn bounded(n: i64, length: usize) -> usize {
    usize::try_from(n).unwrap_or(0).min(length)
}

fn at_place(items: &[Val], at: i64) -> Val {
    usize::try_from(at).ok().and_then(|at| items.get(at)).cloned().unwrap_or(Val::Null)
}

fn extreme(items: &[Val], better: fn(Ordering) -> bool) -> Val {
    let mut best: Option<&Val> = None;
    for item in items {
        if best.is_none_or(|b| item.order(b).is_some_and(better)) {
            best = Some(item);
        }
    }
    best.cloned().unwrap_or(Val::Null)
}

fn compared(a: &Val, b: &Val, holds: fn(Ordering) -> bool) -> Result<Val> {
    let order =
        a.order(b).ok_or_else(|| Fault::argument(format!("{} and {} have no order", a.kind(), b.kind())))?;
    Ok(Val::Bool(holds(order)))
}

fn arithmetic(op: &str, a: &Val, b: &Val) -> Result<Val> {
    let wrong = || Fault::argument(format!("{op} cannot join {} and {}", a.kind(), b.kind()));
    if let (Val::Int(x), Val::Int(y)) = (a, b) {
        let exact = match op {
            "+" => x.checked_add(*y),
            "-" => x.checked_sub(*y),
            "*" => x.checked_mul(*y),
            "%" => x.checked_rem(*y),
            "/" if x.checked_rem(*y) == Some(0) => x.checked_div(*y),
            "/" if *y != 0 => None,
            _ => return Err(wrong()),
        };
        if let Some(n) = exact {
            return Ok(Val::Int(n));
        }
    }
    let (x, y) = (a.real().ok_or_else(wrong)?, b.real().ok_or_else(wrong)?);
    let value = match op {
        "+" => x + y,
        "-" => x - y,
        "*" => x * y,
        "/" => x / y,
        "%" => x % y,
        _ => return Err(wrong()),
    };
    if value.is_finite() { Ok(Val::Real(value)) } else { Err(Fault::argument("a division by zero")) }
}
