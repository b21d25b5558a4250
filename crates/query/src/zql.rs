//! ZQL, the query language of newer servers: `query vminstance.name where state = 'Running' order by name asc limit 10`.
//!
//! ```text
//! statements  statement (';' statement)*
//! statement   ('query' | 'count') resource ['.' field (',' field)*] ['where' condition] clause*
//! clause      'return with' '(' 'total' ')' | 'group by' field | 'order by' field ('asc' | 'desc') (',' …)*
//!             | 'limit' number | 'offset' number
//! condition   condition 'or' condition | condition 'and' condition | '(' condition ')' | field operator [value]
//! operator    = != > >= < <= 'in' 'not in' 'like' 'not like' 'is null' 'is not null' 'not null'
//! value       'text' | "text" | number | true | false | '(' value (',' value)* ')'
//! ```
//!
//! Sums, inner queries, `restrict by` and `filter by` are refused by name.

use cairn_api::resource::{Resource, find_by_name};
use cairn_store::Tx;
use cairn_types::{Fault, Result};
use serde_json::{Value, json};

use crate::{Caller, Filter, Op, Options, Query, Sort, Viewer, run};

/// Deepest nesting of parentheses.
const MAX_NESTING: usize = 30;

/// One statement.
#[derive(Clone)]
pub struct Statement {
    /// What is asked for.
    pub resource: &'static Resource,
    /// The question.
    pub query: Query,
}

/// Reads statements separated by semicolons.
pub fn parse(text: &str) -> Result<Vec<Statement>> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0, depth: 0 };
    let mut statements = Vec::new();
    loop {
        while reader.take_sign(";") {}
        if reader.at_end() {
            return if statements.is_empty() { Err(reader.wanted("query")) } else { Ok(statements) };
        }
        statements.push(reader.statement()?);
        if !reader.at_end() && !reader.take_sign(";") {
            return Err(reader.wanted("the end of the statement"));
        }
    }
}

/// Runs every statement of a text: `{"results": [{"inventories": […], "total": 1}]}`.
pub fn answer(
    tx: &mut dyn Tx,
    text: &str,
    viewer: &Viewer,
    caller: &dyn Caller,
    options: &Options,
) -> Result<Value> {
    let mut results = Vec::new();
    for statement in parse(text)? {
        results.push(result(tx, &statement, viewer, caller, options)?);
    }
    Ok(json!({ "results": results }))
}

/// Runs one statement. What the caller may not ask for is empty.
pub(crate) fn result(
    tx: &mut dyn Tx,
    statement: &Statement,
    viewer: &Viewer,
    caller: &dyn Caller,
    options: &Options,
) -> Result<Value> {
    if !caller.may_query(statement.resource) {
        return Ok(json!({"inventories": [], "total": 0}));
    }
    Ok(run(tx, statement.resource, &statement.query, viewer, options)?.into_answer())
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Sign(&'static str),
}

const SIGNS: &[&str] = &["!=", ">=", "<=", "=", ">", "<", "(", ")", ",", ";", "."];

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let inner = &rest[1..];
                let end =
                    inner.find(first).ok_or_else(|| Fault::argument("a text in the query is not closed"))?;
                out.push(Token::Text(inner[..end].to_owned()));
                end + 2
            }
            c if c.is_ascii_digit() || (c == '-' && rest[1..].starts_with(|d: char| d.is_ascii_digit())) => {
                let end =
                    rest[1..].find(|c: char| !(c.is_ascii_digit() || c == '.')).map_or(rest.len(), |n| n + 1);
                out.push(Token::Number(rest[..end].to_owned()));
                end
            }
            c if c.is_ascii_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                out.push(Token::Word(rest[..end].to_owned()));
                end
            }
            c => {
                let sign = SIGNS.iter().find(|s| rest.starts_with(**s));
                let sign = sign.ok_or_else(|| Fault::argument(format!("{c:?} cannot stand in a query")))?;
                out.push(Token::Sign(sign));
                sign.len()
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(out)
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    fn peek_word(&self, ahead: usize) -> Option<&str> {
        match self.tokens.get(self.at + ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(s)) if *s == sign);
        self.at += usize::from(found);
        found
    }

    /// Takes these words if they come next, in any case.
    fn take_words(&mut self, words: &str) -> bool {
        let found = words
            .split(' ')
            .enumerate()
            .all(|(n, w)| self.peek_word(n).is_some_and(|p| p.eq_ignore_ascii_case(w)));
        self.at += if found { words.split(' ').count() } else { 0 };
        found
    }

    fn word(&mut self, what: &str) -> Result<String> {
        let word = self.peek_word(0).map(str::to_owned).ok_or_else(|| self.wanted(what))?;
        self.at += 1;
        Ok(word)
    }

    fn wanted(&self, what: &str) -> Fault {
        let found = match self.tokens.get(self.at) {
            Some(Token::Word(s) | Token::Number(s)) => format!("{s:?}"),
            Some(Token::Text(s)) => format!("the text {s:?}"),
            Some(Token::Sign(s)) => format!("{s:?}"),
            None => "the end".to_owned(),
        };
        Fault::argument(format!("the query has {found} where {what} is due"))
    }

    fn statement(&mut self) -> Result<Statement> {
        let mut query = Query::default();
        if self.take_words("count") {
            query.count = true;
        } else if !self.take_words("query") {
            return Err(self.wanted("query or count"));
        }
        let name = self.word("the name of a resource")?;
        let resource = find_by_name(&name).filter(|r| !r.table.is_empty());
        let resource =
            resource.ok_or_else(|| Fault::argument(format!("there is no resource {name:?} to query")))?;
        if self.take_sign(".") {
            query.fields.push(self.word("a field")?);
            while self.take_sign(",") {
                query.fields.push(self.word("a field")?);
            }
        }
        if self.take_words("where") {
            query.filters.push(self.alternatives()?);
        }
        while self.clause(&mut query)? {}
        Ok(Statement { resource, query })
    }

    fn clause(&mut self, query: &mut Query) -> Result<bool> {
        if self.take_words("return with") {
            self.return_with(query)?;
        } else if self.take_words("group by") {
            query.group_by = Some(self.word("a field")?);
        } else if self.take_words("order by") {
            query.sort.push(self.order()?);
            while self.take_sign(",") {
                query.sort.push(self.order()?);
            }
        } else if self.take_words("limit") {
            query.limit = Some(self.count()?);
        } else if self.take_words("offset") {
            query.start = self.count()?;
        } else if let Some(word) = self.peek_word(0) {
            return Err(Fault::argument(format!("{word:?} is not supported in a query")));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn return_with(&mut self, query: &mut Query) -> Result<()> {
        let open = self.take_sign("(");
        loop {
            match self.word("total")?.as_str() {
                "total" | "count" => query.with_total = true,
                other => return Err(Fault::argument(format!("a query cannot return {other:?}, only total"))),
            }
            if !self.take_sign(",") {
                break;
            }
        }
        if open && !self.take_sign(")") { Err(self.wanted("\")\"")) } else { Ok(()) }
    }

    fn order(&mut self) -> Result<Sort> {
        let field = self.word("a field")?;
        let descending = self.take_words("desc");
        if !descending {
            self.take_words("asc");
        }
        Ok(Sort { field, descending })
    }

    fn count(&mut self) -> Result<i64> {
        match self.tokens.get(self.at) {
            Some(Token::Number(n)) if n.parse::<u32>().is_ok() => {
                let number = n.parse().unwrap_or(i64::MAX);
                self.at += 1;
                Ok(number)
            }
            _ => Err(self.wanted("a whole number")),
        }
    }

    fn alternatives(&mut self) -> Result<Filter> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(crate::fault::too_much("the parentheses of the query are nested too deeply"));
        }
        let mut any = vec![self.all()?];
        while self.take_words("or") {
            any.push(self.all()?);
        }
        self.depth -= 1;
        Ok(if any.len() == 1 { any.remove(0) } else { Filter::Any(any) })
    }

    fn all(&mut self) -> Result<Filter> {
        let mut all = vec![self.simple()?];
        while self.take_words("and") {
            all.push(self.simple()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::All(all) })
    }

    fn simple(&mut self) -> Result<Filter> {
        if self.take_sign("(") {
            let inner = self.alternatives()?;
            return if self.take_sign(")") { Ok(inner) } else { Err(self.wanted("\")\"")) };
        }
        let mut field = self.word("a field")?;
        while self.take_sign(".") {
            field.push('.');
            field.push_str(&self.word("a field")?);
        }
        let op = self.operator()?;
        match op {
            Op::IsNull | Op::NotNull => Ok(Filter::is(&field, op, "")),
            Op::In | Op::NotIn => Ok(list(&field, op, self.values()?)),
            _ => Ok(Filter::is(&field, op, &self.value()?)),
        }
    }

    fn operator(&mut self) -> Result<Op> {
        const WORDS: &[(&str, Op)] = &[
            ("is null", Op::IsNull),
            ("is not null", Op::NotNull),
            ("not null", Op::NotNull),
            ("in", Op::In),
            ("not in", Op::NotIn),
            ("like", Op::Like),
            ("not like", Op::NotLike),
        ];
        const COMPARISONS: &[Op] = &[Op::NotEq, Op::Ge, Op::Le, Op::Eq, Op::Gt, Op::Lt];
        if let Some((_, op)) = WORDS.iter().find(|(words, _)| self.take_words(words)) {
            return Ok(*op);
        }
        COMPARISONS
            .iter()
            .copied()
            .find(|op| self.take_sign(op.as_str()))
            .ok_or_else(|| self.wanted("an operator"))
    }

    fn value(&mut self) -> Result<String> {
        let value = match self.tokens.get(self.at) {
            Some(Token::Text(s) | Token::Number(s)) => s.clone(),
            Some(Token::Word(s)) if matches!(s.to_ascii_lowercase().as_str(), "true" | "false") => {
                s.to_ascii_lowercase()
            }
            _ => return Err(self.wanted("a value")),
        };
        self.at += 1;
        Ok(value)
    }

    fn values(&mut self) -> Result<Vec<String>> {
        if !self.take_sign("(") {
            return Ok(vec![self.value()?]);
        }
        if self.take_words("query") {
            return Err(Fault::argument(
                "a query inside a query is not supported; use a field behind a join",
            ));
        }
        let mut values = Vec::new();
        while !self.take_sign(")") {
            values.push(self.value()?);
            if !self.take_sign(",") && !matches!(self.tokens.get(self.at), Some(Token::Sign(")"))) {
                return Err(self.wanted("\",\" or \")\""));
            }
        }
        Ok(values)
    }
}

/// A list as one condition; as several if an element would not survive being written with commas.
fn list(field: &str, op: Op, values: Vec<String>) -> Filter {
    if values.iter().all(|v| !v.is_empty() && !v.contains(',') && v.trim() == v) {
        return Filter::is(field, op, &values.join(","));
    }
    let one = if op == Op::In { Op::Eq } else { Op::NotEq };
    let each = values.iter().map(|v| Filter::is(field, one, v)).collect();
    if op == Op::In { Filter::Any(each) } else { Filter::All(each) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).remove(0).query
    }

    #[test]
    fn statements_are_read() {
        let q = query(
            "query VmInstance.name,uuid where state='Running' and cpuNum >= 2 order by name desc limit 10 offset 5 return with (total)",
        );
        assert_eq!(q.fields, ["name", "uuid"]);
        let both =
            Filter::All(vec![Filter::is("state", Op::Eq, "Running"), Filter::is("cpuNum", Op::Ge, "2")]);
        assert_eq!(q.filters, [both]);
        assert_eq!((q.limit, q.start, q.with_total), (Some(10), 5, true));
        assert_eq!(q.sort, [Sort { field: "name".into(), descending: true }]);
        assert_eq!(query("query image where __systemTag__='applianceType::vrouter'").filters.len(), 1);
        assert!(query("count zone").count);
        assert_eq!(parse("query zone; query host;").map(|s| s.len()).unwrap(), 2);
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let (a, b, c) = (
            Filter::is("name", Op::Eq, "a"),
            Filter::is("name", Op::Eq, "b"),
            Filter::is("name", Op::Eq, "c"),
        );
        let tight = Filter::Any(vec![a.clone(), Filter::All(vec![b.clone(), c.clone()])]);
        assert_eq!(query("query zone where name='a' or name='b' and name='c'").filters, [tight]);
        let grouped = Filter::All(vec![Filter::Any(vec![a, b]), c]);
        assert_eq!(query("query zone where (name='a' or name=\"b\") and name='c'").filters, [grouped]);
    }

    #[test]
    fn operators_and_lists() {
        for (text, filter) in [
            ("vmNics.ip is null", Filter::is("vmNics.ip", Op::IsNull, "")),
            ("vmNics.ip is not null", Filter::is("vmNics.ip", Op::NotNull, "")),
            ("name like 'web%'", Filter::is("name", Op::Like, "web%")),
            ("name not like 'web%'", Filter::is("name", Op::NotLike, "web%")),
            ("name in ('a', 'b')", Filter::is("name", Op::In, "a,b")),
            ("name not in ('a','b')", Filter::is("name", Op::NotIn, "a,b")),
            ("cpuNum in (1,2)", Filter::is("cpuNum", Op::In, "1,2")),
            ("name in ('a,b')", Filter::Any(vec![Filter::is("name", Op::Eq, "a,b")])),
            ("system = true", Filter::is("system", Op::Eq, "true")),
        ] {
            assert_eq!(query(&format!("query vminstance where {text}")).filters, [filter], "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let deep = format!("query zone where {}name='a'{}", "(".repeat(40), ")".repeat(40));
        for text in [
            "",
            "select * from zone",
            "query nothing",
            "query zone where",
            "query zone where name",
            "query zone where name=",
            "query zone where name='a",
            "query zone limit x",
            "query zone filter by zwatch{}",
            "query session",
            "query zone where uuid in (query host.uuid)",
            "query zone where (name='a'",
            "query zone where name='a' $",
            &deep,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
