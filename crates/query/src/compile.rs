//! A query and a resource become one SQL statement. Text of the statement comes only from the static tables; everything
//! that a caller wrote is a parameter.

use cairn_api::resource::{Field, FieldType, ListField, Nested, Resource, Sql};
use cairn_store::Value;
use cairn_types::{Fault, Result};

use crate::Options;
use crate::dialect::Words as _;
use crate::fault::{too_much, unknown_field, wrong_value};
use crate::path::{Leaf, Step};
use crate::query::{Filter, Op, Query, positive};
use crate::sql::Fragment;
use crate::tree::{Node, Test};
use crate::value::{Operand, compare};
use crate::visible::{Viewer, visible};

/// Most conditions in one query.
const MAX_CONDITIONS: usize = 200;

/// A query as SQL.
#[derive(Clone)]
pub struct Compiled {
    /// The statement.
    pub sql: String,
    /// Its parameters.
    pub params: Vec<Value>,
    pub(crate) resource: &'static Resource,
    pub(crate) columns: Vec<Column>,
    pub(crate) count: bool,
    /// Whether the fields that are added after the query are wanted.
    pub(crate) decorate: bool,
}

/// What a column of the answer holds.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    /// The number of matches.
    Total,
    /// Empty when there is a total but no row.
    Present,
    /// The value that tells subtypes apart.
    Kind,
    /// For whoever completes the row.
    Post(&'static str),
    /// A field; of a subtype, only rows of that kind have it.
    Field(&'static Field, Option<&'static Resource>),
    /// A JSON list of values.
    List(&'static ListField),
    /// A JSON list of JSON lists, one per row, with the shown fields in order.
    Nested(&'static Nested),
}

/// Compiles a query for whoever asks.
pub fn compile(
    resource: &'static Resource,
    query: &Query,
    viewer: &Viewer,
    options: &Options,
) -> Result<Compiled> {
    compile_for(resource, query, (viewer, false), options)
}

/// The same for a viewer of whom is known whether much of all there is belongs to him.
pub(crate) fn compile_for(
    resource: &'static Resource,
    query: &Query,
    (viewer, owns_many): (&Viewer, bool),
    options: &Options,
) -> Result<Compiled> {
    if resource.table.is_empty() {
        return Err(Fault::argument(format!("{} cannot be queried", resource.short_name())));
    }
    let mut build = Build { resource, query, viewer, owns_many, options, aliases: 0 };
    let matching = build.matching()?;
    let (statement, columns) = if query.count {
        (build.counted(&matching)?.wrapped("SELECT total FROM ", ""), vec![Column::Total])
    } else {
        build.statement(matching)?
    };
    let wants = |name: &&str| query.fields.iter().any(|f| f == name);
    let decorate = query.fields.is_empty() || options.decorated.iter().any(wants);
    Ok(Compiled {
        sql: statement.text,
        params: statement.params,
        resource,
        columns,
        count: query.count,
        decorate,
    })
}

struct Build<'a> {
    resource: &'static Resource,
    query: &'a Query,
    viewer: &'a Viewer,
    owns_many: bool,
    options: &'a Options,
    aliases: usize,
}

impl Build<'_> {
    /// `table t WHERE …`: the rows that match and may be seen.
    fn matching(&mut self) -> Result<Fragment> {
        let mut seen = 0;
        let filters = self.all(&self.query.filters, &mut seen)?;
        let mut pieces = filters.1;
        pieces.extend(visible(self.resource, "t", self.viewer, filters.0 || self.owns_many));
        if let Some((column, value)) = self.resource.only {
            pieces.push(Fragment::new(format!("t.{column} = '{value}'")));
        }
        let mut from = self.table("t")?;
        if !pieces.is_empty() {
            from.push(" WHERE ");
            from.append(Fragment::all(pieces, " AND "));
        }
        Ok(from)
    }

    /// The resource's table, or its rows in memory, under an alias.
    fn table(&self, alias: &str) -> Result<Fragment> {
        if !self.resource.given {
            return Ok(Fragment::new(format!("{} {alias}", self.resource.table)));
        }
        let table = self.resource.table;
        let rows = self.options.given.get(table);
        let rows =
            rows.ok_or_else(|| Fault::internal(format!("a query on {table} was not given its rows")))?;
        let columns: Vec<&str> = self.resource.fields().filter_map(plain_column).collect();
        let text = format!("{} {alias}", self.options.dialect.given(&columns));
        Ok(Fragment::with(text, Value::Text(rows())))
    }

    /// Conditions that must all hold, and whether few rows can match them.
    fn all(&mut self, filters: &[Filter], seen: &mut usize) -> Result<(bool, Vec<Fragment>)> {
        let mut node = Node::new(self.resource);
        let mut pieces = Vec::new();
        let mut waiting: Vec<&Filter> = filters.iter().rev().collect();
        while let Some(filter) = waiting.pop() {
            *seen += 1;
            if *seen > MAX_CONDITIONS {
                return Err(too_much(format!("a query may have {MAX_CONDITIONS} conditions")));
            }
            match filter {
                Filter::Is(condition) => node.add(condition)?,
                Filter::All(inner) => waiting.extend(inner.iter().rev()),
                Filter::Any(inner) => pieces.push(self.any(inner, seen)?),
            }
        }
        let pinned = node.is_pinned();
        let mut whole = self.tests(&node, "t")?;
        whole.append(&mut pieces);
        Ok((pinned, whole))
    }

    fn any(&mut self, filters: &[Filter], seen: &mut usize) -> Result<Fragment> {
        let mut pieces = Vec::new();
        for filter in filters {
            let (_, all) = self.all(std::slice::from_ref(filter), seen)?;
            pieces.push(if all.is_empty() { Fragment::new("1 = 1") } else { Fragment::all(all, " AND ") });
        }
        Ok(if pieces.is_empty() { Fragment::new("1 = 1") } else { Fragment::all(pieces, " OR ") })
    }

    /// The conditions of a node on the row under an alias, and on rows related to it.
    fn tests(&mut self, node: &Node, alias: &str) -> Result<Vec<Fragment>> {
        let mut pieces = Vec::new();
        for test in &node.tests {
            pieces.push(self.test(test, node.resource, alias)?);
        }
        for (step, related) in &node.related {
            let related_alias = self.alias();
            let mut inner = self.tests(related, &related_alias)?;
            let few = related.is_pinned();
            inner.extend(visible(related.resource, &related_alias, self.viewer, few));
            let each = !few && is_few_to_many(node.resource, step);
            pieces.push(exists(step, (alias, &related_alias), inner, each));
        }
        Ok(pieces)
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("j{}", self.aliases)
    }

    fn test(&mut self, test: &Test, resource: &Resource, alias: &str) -> Result<Fragment> {
        match test.leaf {
            Leaf::Field(field) => {
                let expression = expression(field, alias);
                let operand = Operand { name: &test.field, ty: field.ty, expression: &expression };
                compare(&operand, test.op, &test.value, self.options)
            }
            Leaf::List(list) => {
                let operand = Operand {
                    name: &test.field,
                    ty: FieldType::Str,
                    expression: &format!("x.{}", list.value),
                };
                let own = format!("{alias}.{}", list.local);
                self.element(test, &operand, &own, list.table, list.owner)
            }
            Leaf::Tags(table) => {
                let operand = Operand { name: &test.field, ty: FieldType::Str, expression: "x.tag" };
                self.element(test, &operand, &format!("{alias}.uuid"), table, "resource_uuid")
            }
            Leaf::Relation(step) => self.relation(test, &step, (resource, alias)),
        }
    }

    /// A condition on the elements of a list: some element fits, or with a negative operator none does.
    fn element(
        &self,
        test: &Test,
        operand: &Operand,
        own: &str,
        table: &str,
        owner: &str,
    ) -> Result<Fragment> {
        let (word, op) = match positive(test.op) {
            Some(op) => ("NOT IN", op),
            None => ("IN", test.op),
        };
        let holds = compare(operand, op, &test.value, self.options)?;
        Ok(holds.wrapped(&format!("{own} {word} (SELECT x.{owner} FROM {table} x WHERE "), ")"))
    }

    /// `host is null`, `vmNics not null`.
    fn relation(
        &mut self,
        test: &Test,
        step: &Step,
        (resource, alias): (&Resource, &str),
    ) -> Result<Fragment> {
        let none = match test.op {
            Op::IsNull => true,
            Op::NotNull => false,
            _ => return Err(wrong_value(&test.field, &test.value, "null, or by one of its own fields")),
        };
        let related = self.alias();
        let inner = visible(step.to, &related, self.viewer, false).into_iter().collect();
        let found = exists(step, (alias, &related), inner, is_few_to_many(resource, step));
        let unset = format!("{alias}.{} IS NULL OR NOT (", step.local);
        Ok(if none { found.wrapped(&unset, ")") } else { found })
    }

    fn counted(&self, matching: &Fragment) -> Result<Fragment> {
        let counted = match self.grouping()? {
            Some(group) => matching
                .clone()
                .wrapped("(SELECT count(*) AS total FROM (SELECT 1 FROM ", &format!(" GROUP BY {group}) g)")),
            None => matching.clone().wrapped("(SELECT count(*) AS total FROM ", ")"),
        };
        Ok(counted.wrapped("", " n"))
    }

    fn grouping(&self) -> Result<Option<String>> {
        let name = self.query.group_by.as_deref();
        name.map(|name| Ok(expression(self.own_field(name)?, "t"))).transpose()
    }

    fn own_field(&self, name: &str) -> Result<&'static Field> {
        let known = || self.resource.fields().filter(|f| f.queryable).map(|f| f.name).collect();
        let found = self.resource.field(name).filter(|f| f.queryable);
        found.ok_or_else(|| unknown_field(self.resource, name, known()))
    }

    /// Rows, and the number of matches if it is wanted.
    fn statement(&mut self, matching: Fragment) -> Result<(Fragment, Vec<Column>)> {
        let columns = self.columns()?;
        let shown: Vec<String> = columns.iter().map(|c| self.select(*c)).collect();
        let counted = if self.query.with_total { Some(self.counted(&matching)?) } else { None };
        let mut whole = Fragment::new(format!("SELECT {} FROM ", shown.join(", ")));
        let link = if counted.is_some() { "LEFT JOIN" } else { "JOIN" };
        if let Some(counted) = counted {
            whole.append(counted);
            whole.push(" LEFT JOIN ");
        }
        let (page, order) = self.page(matching)?;
        whole.append(page.wrapped("(", ") p"));
        whole.push(if self.query.with_total { " ON 1 = 1 " } else { " " });
        let keys: Vec<String> =
            self.resource.keys.iter().enumerate().map(|(n, key)| format!("t.{key} = p.k{n}")).collect();
        whole.append(self.table("t")?.wrapped(&format!("{link} "), &format!(" ON {}", keys.join(" AND "))));
        whole.push(&format!(" ORDER BY {order}"));
        Ok((whole, columns))
    }

    /// The keys of the rows on the page, and the order that brings them back into its sequence.
    fn page(&mut self, matching: Fragment) -> Result<(Fragment, String)> {
        let keys = self.resource.keys;
        let mut shown: Vec<String> =
            keys.iter().enumerate().map(|(n, key)| format!("t.{key} AS k{n}")).collect();
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        for (n, sort) in self.query.sort.iter().enumerate() {
            let field = self.own_field(&sort.field)?;
            let by = field.sort.map_or_else(|| expression(field, "t"), |column| format!("t.{column}"));
            let direction = if sort.descending { " DESC" } else { "" };
            let direction = format!("{direction}{}", self.options.dialect.nulls(sort.descending));
            shown.push(format!("{by} AS s{n}"));
            inner.push(format!("{by}{direction}"));
            outer.push(format!("p.s{n}{direction}"));
        }
        inner.extend(keys.iter().map(|key| format!("t.{key}")));
        outer.extend((0..keys.len()).map(|n| format!("p.k{n}")));
        let mut page = self.grouped(matching)?.wrapped(&format!("SELECT {} FROM ", shown.join(", ")), "");
        page.push(&format!(" ORDER BY {} LIMIT ? OFFSET ?", inner.join(", ")));
        let limit = self.query.limit.unwrap_or(self.options.default_limit).clamp(0, self.options.max_limit);
        page.params.extend([Value::Int(limit), Value::Int(self.query.start.max(0))]);
        Ok((page, outer.join(", ")))
    }

    /// The matching rows, with `groupBy` the first of each group.
    fn grouped(&self, matching: Fragment) -> Result<Fragment> {
        let Some(group) = self.grouping()? else { return Ok(matching) };
        let firsts = match self.resource.keys {
            [key] => matching.wrapped(&format!("SELECT min(t.{key}) FROM "), &format!(" GROUP BY {group}")),
            keys => {
                let number =
                    format!("row_number() OVER (PARTITION BY {group} ORDER BY {})", listed("t", keys));
                let inner = format!(
                    "SELECT {} FROM (SELECT {}, {number} AS n FROM ",
                    listed("g", keys),
                    listed("t", keys)
                );
                matching.wrapped(&inner, ") g WHERE g.n = 1")
            }
        };
        let mut whole = self.table("t")?;
        whole.append(firsts.wrapped(&format!(" WHERE ({}) IN (", listed("t", self.resource.keys)), ")"));
        Ok(whole)
    }

    fn columns(&self) -> Result<Vec<Column>> {
        let mut columns = Vec::new();
        if self.query.with_total {
            columns.push(Column::Total);
        }
        columns.push(Column::Present);
        columns.extend(self.resource.subtypes.as_ref().map(|_| Column::Kind));
        columns.extend(self.resource.post.iter().map(|c| Column::Post(c)));
        let all = self.every_column();
        if self.query.fields.is_empty() {
            columns.extend(all);
            return Ok(columns);
        }
        for name in &self.query.fields {
            let wanted: Vec<Column> = all.iter().copied().filter(|c| c.name() == Some(name)).collect();
            if wanted.is_empty() && !self.options.decorated.contains(&name.as_str()) {
                let known = all.iter().filter_map(|c| c.name()).collect();
                return Err(unknown_field(self.resource, name, known));
            }
            columns.extend(wanted);
        }
        Ok(columns)
    }

    fn every_column(&self) -> Vec<Column> {
        let shown = |f: &&'static Field| f.shown;
        let mut all: Vec<Column> =
            self.resource.fields().filter(shown).map(|f| Column::Field(f, None)).collect();
        for (_, subtype) in self.resource.subtypes.iter().flat_map(|s| s.of) {
            all.extend(subtype.fields.iter().filter(shown).map(|f| Column::Field(f, Some(*subtype))));
        }
        all.extend(self.resource.lists().map(Column::List));
        all.extend(self.resource.nested().map(Column::Nested));
        all
    }

    fn select(&self, column: Column) -> String {
        let dialect = self.options.dialect;
        match column {
            Column::Total => "n.total".to_owned(),
            Column::Present => format!("t.{}", self.resource.keys[0]),
            Column::Kind => format!("t.{}", self.resource.subtypes.as_ref().map_or("", |s| s.column)),
            Column::Post(name) => format!("t.{name}"),
            Column::Field(field, _) => expression(field, "t"),
            Column::List(l) => {
                let values =
                    dialect.collect(&format!("x.{}", l.value), &format!("x.{}, x.{}", l.order, l.value));
                format!("(SELECT {values} FROM {} x WHERE x.{} = t.{})", l.table, l.owner, l.local)
            }
            Column::Nested(n) => {
                let row: Vec<String> = nested_fields(n).map(|f| expression(f, "x")).collect();
                let rows = dialect
                    .collect(&dialect.array(&row), &format!("x.{}, {}", n.order, listed("x", n.of.keys)));
                format!("(SELECT {rows} FROM {} x WHERE x.{} = t.{})", n.of.table, n.remote, n.local)
            }
        }
    }
}

impl Column {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Field(field, _) => Some(field.name),
            Self::List(list) => Some(list.name),
            Self::Nested(nested) => Some(nested.name),
            Self::Total | Self::Present | Self::Kind | Self::Post(_) => None,
        }
    }
}

/// The fields of a nested inventory that answers show.
pub(crate) fn nested_fields(nested: &Nested) -> impl Iterator<Item = &'static Field> + use<> {
    nested.of.fields().filter(|f| f.shown)
}

fn expression(field: &Field, alias: &str) -> String {
    match field.sql {
        Sql::Column(column) => format!("{alias}.{column}"),
        Sql::Expr(expression) => expression.replace("{t}", alias),
    }
}

/// These columns of the table with this alias.
fn listed(alias: &str, columns: &[&str]) -> String {
    columns.iter().map(|c| format!("{alias}.{c}")).collect::<Vec<_>>().join(", ")
}

fn plain_column(field: &'static Field) -> Option<&'static str> {
    match field.sql {
        Sql::Column(column) => Some(column),
        Sql::Expr(_) => None,
    }
}

/// Tables with a row or more for each VM or host; all others are small beside them.
const MANY: &[&str] = &["host", "vm_instance", "vm_nic", "used_ip", "volume", "resource", "image_cache"];

/// A step from few rows to many: each of the few is looked up among the many, which are not all read.
fn is_few_to_many(from: &Resource, step: &Step) -> bool {
    !MANY.contains(&from.table) && MANY.contains(&step.to.table)
}

/// There is a row on the other side of a step for which all of `inner` holds. `each`: asked for each row of this side by
/// itself; else the rows of the other side are found first.
fn exists(step: &Step, (alias, related): (&str, &str), mut inner: Vec<Fragment>, each: bool) -> Fragment {
    let Step { local, remote, to, .. } = step;
    if let Some((column, value)) = to.only {
        inner.push(Fragment::new(format!("{related}.{column} = '{value}'")));
    }
    let table = to.table;
    let before = if each {
        inner.push(Fragment::new(format!("{related}.{remote} = {alias}.{local}")));
        format!("EXISTS (SELECT 1 FROM {table} {related} WHERE ")
    } else {
        inner.push(Fragment::new(format!("{related}.{remote} IS NOT NULL")));
        format!("{alias}.{local} IN (SELECT {related}.{remote} FROM {table} {related} WHERE ")
    };
    Fragment::all(inner, " AND ").wrapped(&before, ")")
}
