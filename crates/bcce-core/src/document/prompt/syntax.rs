//! Restricts the part of the Jinja language that a prompt template may use.
//!
//! Fuel limits the instructions and the bytes that they make, but not nesting. A list of lists of lists can double in
//! size with every line, and one instruction compares or prints it. A deep expression overflows the parser's stack,
//! which cannot be caught. Therefore a template cannot make lists, call functions or nest deeply. The fuel limits
//! everything that remains.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{BinOp, BinOpKind, CallArg, Expr, Stmt, UnaryOpKind};

use crate::document::prompt::marks::{CACHED, mark};
use crate::document::prompt::parsing::{parsed, refused};

const FILTERS: &[&str] = &[
    "abs", "count", "d", "default", "first", "float", "indent", "int", "items", "join", "last",
    "length", "lines", "lower", "replace", "round", "safe", "string", "tojson", "trim", "truncate",
    "upper",
];
/// The filters that can return a list or an object.
const FILTERS_OF_ANYTHING: &[&str] = &["d", "default", "first", "items", "last", "lines"];
const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "endingwith",
    "even",
    "false",
    "float",
    "integer",
    "iterable",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
];
/// The smallest literal index that is refused in a loop.
const MAX_SUBSCRIPT: usize = 1_000;

/// Checks that a template uses only the available part of the language.
///
/// # Errors
/// Returns a message with the element that is not available, its line and the reason.
pub fn check(source: &str) -> Result<(), String> {
    statement(&parsed(source)?, false)
}

/// Checks a template as [`check`] does. A prompt may also mark prefixes to cache.
///
/// # Errors
/// Returns the same messages as [`check`].
pub fn check_prompt(source: &str) -> Result<(), String> {
    let template = parsed(source)?;
    let Stmt::Template(template) = &template else { return statement(&template, false) };
    template.children.iter().try_for_each(|child| match mark(child) {
        Some((filter, span)) if !filter.args.is_empty() => {
            refused(span, &format!("an argument of `{CACHED}`"), "it takes none")
        }
        Some((filter, _)) => expressions(filter.expr.iter(), false),
        None => statement(child, false),
    })
}

/// Returns `true` if `source` is one `{{ }}` and nothing else.
pub fn is_one_expression(source: &str) -> bool {
    let Ok(Stmt::Template(template)) = parsed(source) else { return false };
    matches!(template.children.as_slice(), [Stmt::EmitExpr(_)])
}

fn statements(list: &[Stmt<'_>], looped: bool) -> Result<(), String> {
    list.iter().try_for_each(|stmt| statement(stmt, looped))
}

/// Checks a statement. `looped` is true if the statement may run more than once.
fn statement(stmt: &Stmt<'_>, looped: bool) -> Result<(), String> {
    match stmt {
        Stmt::Template(template) => statements(&template.children, looped),
        Stmt::EmitRaw(_) => Ok(()),
        Stmt::EmitExpr(emit) => expression(&emit.expr, looped),
        Stmt::ForLoop(each) if each.recursive => {
            refused(each.span(), "`recursive`", "a sender's data could nest it without limit")
        }
        Stmt::ForLoop(each) => {
            expression(&each.iter, looped)?;
            expressions(each.filter_expr.iter(), true)?;
            statements(&each.body, true)?;
            statements(&each.else_body, looped)
        }
        Stmt::IfCond(cond) => {
            expression(&cond.expr, looped)?;
            statements(&cond.true_body, looped)?;
            statements(&cond.false_body, looped)
        }
        Stmt::WithBlock(with) => {
            expressions(with.assignments.iter().map(|(_, value)| value), looped)?;
            statements(&with.body, looped)
        }
        Stmt::Set(set) => expression(&set.expr, looped),
        Stmt::SetBlock(set) => {
            expressions(set.filter.iter(), looped)?;
            statements(&set.body, looped)
        }
        Stmt::FilterBlock(block) => {
            expression(&block.filter, looped)?;
            statements(&block.body, looped)
        }
        Stmt::AutoEscape(block) => {
            refused(block.span(), "`autoescape`", "data is always delimited")
        }
        Stmt::Do(call) => refused(call.span(), "`do`", "there are no functions"),
    }
}

fn expressions<'a, 'b: 'a>(
    mut list: impl Iterator<Item = &'a Expr<'b>>,
    looped: bool,
) -> Result<(), String> {
    list.try_for_each(|expr| expression(expr, looped))
}

fn expression(expr: &Expr<'_>, looped: bool) -> Result<(), String> {
    match expr {
        Expr::Var(_) | Expr::Const(_) => Ok(()),
        Expr::List(_) | Expr::Tuple(_) | Expr::Map(_) if is_literal(expr) => Ok(()),
        Expr::List(_) | Expr::Tuple(_) | Expr::Map(_) => {
            refused(expr.span(), "a list or map of variables", "it could be nested without limit")
        }
        Expr::Slice(_) => refused(expr.span(), "`[a:b]`", "use `| truncate(n)` to cut a text"),
        Expr::Call(_) => refused(expr.span(), "a call", "there are no functions, only filters"),
        Expr::UnaryOp(op) => expression(&op.expr, looped),
        Expr::GetAttr(attr) => expression(&attr.expr, looped),
        Expr::GetItem(item) => {
            expressions([&item.expr, &item.subscript_expr].into_iter(), looped)?;
            subscript(expr.span(), &item.subscript_expr, looped)
        }
        Expr::IfExpr(cond) => {
            let parts = [&cond.test_expr, &cond.true_expr].into_iter().chain(&cond.false_expr);
            expressions(parts, looped)
        }
        Expr::BinOp(op) => operation(op, expr.span(), looped),
        Expr::Compare(compare) => {
            let mut left = &compare.expr;
            expression(left, looped)?;
            for op in &compare.ops {
                expression(&op.expr, looped)?;
                comparison(expr.span(), left, &op.expr, looped)?;
                left = &op.expr;
            }
            Ok(())
        }
        Expr::Filter(filter) => {
            named("the filter", filter.name, FILTERS, expr.span())?;
            expressions(filter.expr.iter(), looped)?;
            arguments(&filter.args, expr.span(), looped)
        }
        Expr::Test(test) => {
            named("the test", test.name, TESTS, expr.span())?;
            expression(&test.expr, looped)?;
            arguments(&test.args, expr.span(), looped)?;
            test.args.iter().try_for_each(|arg| match arg {
                CallArg::Pos(other) => comparison(expr.span(), &test.expr, other, looped),
                _ => refused(expr.span(), "a named argument of a test", "write its value alone"),
            })
        }
    }
}

fn operation(op: &BinOp<'_>, span: Span, looped: bool) -> Result<(), String> {
    expressions([&op.left, &op.right].into_iter(), looped)?;
    let is_written_out = |side: &Expr<'_>| matches!(side, Expr::Const(_));
    match op.op {
        BinOpKind::Mul => {
            refused(span, "`*`", "a sender's data could repeat a text or a list without limit")
        }
        BinOpKind::Add if !is_written_out(&op.left) && !is_written_out(&op.right) => refused(
            span,
            "`+` without a number or a text written out",
            "it makes lists grow; `~` joins texts",
        ),
        BinOpKind::Eq
        | BinOpKind::Ne
        | BinOpKind::Lt
        | BinOpKind::Lte
        | BinOpKind::Gt
        | BinOpKind::Gte
        | BinOpKind::In => comparison(span, &op.left, &op.right, looped),
        _ => Ok(()),
    }
}

fn named(kind: &str, name: &str, known: &[&str], span: Span) -> Result<(), String> {
    if known.contains(&name) {
        return Ok(());
    }
    if name == CACHED {
        let why = "it is the last filter of a `{{ }}` of a prompt, outside of all blocks";
        return refused(span, &format!("`{CACHED}`"), why);
    }
    refused(span, &format!("{kind} `{name}`"), &format!("use one of {}", known.join(", ")))
}

fn arguments(args: &[CallArg<'_>], span: Span, looped: bool) -> Result<(), String> {
    args.iter().try_for_each(|arg| match arg {
        CallArg::Pos(expr) | CallArg::Kwarg(_, expr) => expression(expr, looped),
        CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
            refused(span, "`*` before an argument", "write the arguments out")
        }
    })
}

/// Refuses a comparison of two variables in a loop. One instruction compares two lists item by item, and a loop would
/// repeat it.
fn comparison(span: Span, left: &Expr<'_>, right: &Expr<'_>, looped: bool) -> Result<(), String> {
    if !looped || is_plain(left) || is_plain(right) {
        return Ok(());
    }
    refused(
        span,
        "a comparison of two variables in a loop",
        "lists take long to compare; make one side text with `| string`",
    )
}

/// Refuses a subscript in a loop that may be slow. Finding the n-th character of a text takes time in proportion to n,
/// from either end, and a loop would repeat it. `loop.index0` is allowed, because it is needed for a list that has the
/// same order as the list of the loop. For a text it takes seconds at most.
fn subscript(span: Span, key: &Expr<'_>, looped: bool) -> Result<(), String> {
    let is_soon = match key {
        Expr::Const(key) => {
            key.value.as_str().is_some() || key.value.as_usize().is_some_and(|n| n < MAX_SUBSCRIPT)
        }
        Expr::Filter(filter) => filter.name == "string",
        Expr::GetAttr(_) => is_of_loop(key),
        _ => false,
    };
    if !looped || is_soon {
        return Ok(());
    }
    refused(
        span,
        "a subscript in a loop that is not written out",
        "a text would be read up to that place; use `loop.index0` or `key | string`",
    )
}

/// Returns `true` for a text, a number or a literal. Comparing these takes no longer than making them.
fn is_plain(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Filter(filter) => !FILTERS_OF_ANYTHING.contains(&filter.name),
        _ => is_of_loop(expr) || is_literal(expr),
    }
}

/// Returns `true` for an attribute of `loop`, such as `loop.index0`. These are numbers and booleans.
fn is_of_loop(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::GetAttr(attr) => matches!(&attr.expr, Expr::Var(var) if var.id == "loop"),
        _ => false,
    }
}

fn is_literal(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Const(_) => true,
        Expr::UnaryOp(op) => matches!(op.op, UnaryOpKind::Neg) && is_literal(&op.expr),
        Expr::List(list) => list.items.iter().all(is_literal),
        Expr::Tuple(tuple) => tuple.items.iter().all(is_literal),
        Expr::Map(map) => map.keys.iter().chain(&map.values).all(is_literal),
        _ => false,
    }
}
