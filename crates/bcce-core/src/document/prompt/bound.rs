//! Computes the longest text that a template can render to, before the answers that it reads exist.
//!
//! The template is walked once. The text that a loop writes of its own variable is as long as the whole list.
//! Everything else in a loop counts once for each item. If the growth by a filter depends on data, the result is the
//! limit of every prompt, [`MAX_PROMPT_BYTES`].

mod filters; // the growth of a value by a filter
mod size; // the length of a value
#[cfg(test)]
mod tests;

use minijinja::machinery::ast::{BinOpKind, Expr, ForLoop, Stmt};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;

use crate::base::limits::MAX_PROMPT_BYTES;
use crate::document::prompt::syntax::check_prompt;

use size::Seen;
pub use size::{Kind, Size};

const MOST: u64 = MAX_PROMPT_BYTES as u64;
/// The longest delimiters around a value, in bytes.
const DELIMITERS: u64 = 96;

/// Returns the largest number of bytes that `source` can render to, at most [`MAX_PROMPT_BYTES`]. `sizes` returns the
/// size of a variable by its path, such as `["inputs", "diff"]`.
pub fn most_bytes(source: &str, sizes: &dyn Fn(&[&str]) -> Size) -> u64 {
    if check_prompt(source).is_err() {
        return MOST;
    }
    let Ok(template) = parse(source, "", SyntaxConfig::default()) else { return MOST };
    let outside = Level { items: 1, ..Level::default() };
    let mut walk = Walk { sizes, names: Vec::new(), levels: vec![outside], captured: 0 };
    walk.statement(&template);
    walk.levels[0].each.min(MOST)
}

/// The bytes that a loop writes. The outermost level is the template itself.
#[derive(Clone, Copy, Default)]
struct Level {
    /// The largest number of iterations.
    items: u64,
    /// The bytes that each iteration writes.
    each: u64,
    /// The bytes that are known only for all iterations together.
    total: u64,
}

/// One walk through a template.
struct Walk<'a> {
    sizes: &'a dyn Fn(&[&str]) -> Size,
    /// The variables that the template sets. If it sets one twice, the longer value counts.
    names: Vec<(String, Seen)>,
    levels: Vec<Level>,
    /// The number of enclosing blocks whose text becomes the value of a variable.
    captured: usize,
}

impl Walk<'_> {
    fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the template's own level is never left")
    }

    fn write(&mut self, bytes: u64) {
        let level = self.level();
        level.each = level.each.saturating_add(bytes);
    }

    fn statements(&mut self, list: &[Stmt<'_>]) {
        list.iter().for_each(|stmt| self.statement(stmt));
    }

    fn statement(&mut self, stmt: &Stmt<'_>) {
        match stmt {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(raw) => self.write(raw.raw.len() as u64),
            Stmt::EmitExpr(emit) => {
                let seen = self.expression(&emit.expr);
                self.emit(seen);
            }
            Stmt::ForLoop(each) => self.looped(each),
            Stmt::IfCond(cond) => self.branches(&cond.true_body, &cond.false_body),
            Stmt::WithBlock(with) => {
                let known = self.names.len();
                for (target, value) in &with.assignments {
                    let seen = self.expression(value);
                    self.bind(target, seen);
                }
                self.statements(&with.body);
                self.names.truncate(known);
            }
            Stmt::Set(set) => {
                let seen = self.expression(&set.expr);
                self.bind(&set.target, seen);
            }
            Stmt::SetBlock(set) => {
                let body = self.capture(&set.body);
                let seen = match &set.filter {
                    None => body,
                    Some(filter) => self.filtered(filter, body),
                };
                self.bind(&set.target, seen);
            }
            Stmt::FilterBlock(block) => {
                let body = self.capture(&block.body);
                let seen = self.filtered(&block.filter, body);
                self.emit(seen);
            }
            // The check of the syntax refuses these statements.
            Stmt::AutoEscape(_) | Stmt::Do(_) => self.write(MOST),
        }
    }

    fn looped(&mut self, each: &ForLoop<'_>) {
        let known = self.names.len();
        let list = self.expression(&each.iter);
        self.enter(list.size);
        let item = Size::of(list.size.bytes, list.size.kind);
        let level = Some(self.levels.len() - 1);
        self.bind(&each.target, Seen { size: item, level });
        self.statements(&each.body);
        self.leave();
        self.names.truncate(known);
        self.statements(&each.else_body);
    }

    fn enter(&mut self, list: Size) {
        self.levels.push(Level { items: list.items, ..Level::default() });
    }

    fn leave(&mut self) {
        if let Some(Level { items, each, total }) = self.levels.pop() {
            self.write(items.saturating_mul(each).saturating_add(total));
        }
    }

    /// Counts the longer of two branches. In a loop, some iterations may take one branch and some the other, so the
    /// bytes for all iterations together are added.
    fn branches(&mut self, one: &[Stmt<'_>], other: &[Stmt<'_>]) {
        let before = self.levels.clone();
        self.statements(one);
        let first = std::mem::replace(&mut self.levels, before.clone());
        self.statements(other);
        for ((level, first), before) in self.levels.iter_mut().zip(first).zip(before) {
            level.each = level.each.max(first.each);
            level.total = level.total.saturating_add(first.total.saturating_sub(before.total));
        }
    }

    /// Returns the size of a block whose text becomes a value.
    fn capture(&mut self, body: &[Stmt<'_>]) -> Seen {
        self.captured += 1;
        self.levels.push(Level { items: 1, ..Level::default() });
        self.statements(body);
        self.captured -= 1;
        let level = self.levels.pop().unwrap_or_default();
        Seen::fixed(Size::of(level.each.saturating_add(level.total), Kind::Text))
    }

    fn bind(&mut self, target: &Expr<'_>, seen: Seen) {
        match target {
            Expr::Var(var) => self.names.push((var.id.to_owned(), seen)),
            Expr::List(list) => list.items.iter().for_each(|item| self.bind(item, seen)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.bind(item, seen)),
            _ => {}
        }
    }

    /// Counts a value that is written. The bytes of a loop's own variable belong to all iterations of that loop
    /// together; each iteration of the loops inside it writes them again.
    fn emit(&mut self, seen: Seen) {
        let factor = if seen.size.kind == Kind::Json { 2 } else { 1 };
        let bytes = seen.size.bytes.saturating_mul(factor);
        match seen.level.filter(|_| self.captured == 0) {
            None => self.write(bytes.saturating_add(DELIMITERS)),
            Some(at) => {
                let inner = self.levels.iter().skip(at + 1).map(|level| level.items);
                let turns = inner.fold(1, u64::saturating_mul);
                let total = &mut self.levels[at].total;
                *total = total.saturating_add(bytes.saturating_mul(turns));
                self.write(DELIMITERS);
            }
        }
    }

    /// Returns the size of the value of an expression.
    fn expression(&mut self, expr: &Expr<'_>) -> Seen {
        if let Some(path) = path(expr) {
            return self.named(&path);
        }
        match expr {
            Expr::Const(value) => {
                Seen::fixed(Size::of(value.value.to_string().len() as u64, Kind::Data))
            }
            Expr::GetAttr(attr) => self.expression(&attr.expr),
            Expr::GetItem(item) => {
                let whole = self.expression(&item.expr);
                // With the loop's index, each iteration takes another part of the list.
                let by_turn = path(&item.subscript_expr)
                    .is_some_and(|path| matches!(path[..], ["loop", "index" | "index0"]));
                let innermost = self.levels.len() - 1;
                match whole.level {
                    None if by_turn && innermost > 0 => Seen { level: Some(innermost), ..whole },
                    _ => whole,
                }
            }
            Expr::IfExpr(cond) => {
                let one = self.expression(&cond.true_expr);
                cond.false_expr.as_ref().map_or(one, |other| one.and(self.expression(other)))
            }
            Expr::BinOp(op) => {
                let both = self.expression(&op.left).and(self.expression(&op.right));
                match op.op {
                    BinOpKind::Concat | BinOpKind::ScAnd | BinOpKind::ScOr | BinOpKind::Add => both,
                    _ => Seen::fixed(Size::scalar()),
                }
            }
            Expr::Filter(filter) => {
                let base = match &filter.expr {
                    Some(base) => self.expression(base),
                    None => Seen::fixed(Size::scalar()),
                };
                self.filtered(expr, base)
            }
            Expr::UnaryOp(_) | Expr::Compare(_) | Expr::Test(_) => Seen::fixed(Size::scalar()),
            // A literal is no longer than the template.
            _ => Seen::fixed(Size::of(crate::base::limits::MAX_TEMPLATE_BYTES as u64, Kind::Data)),
        }
    }

    /// Returns the size of the variable at `path`.
    fn named(&self, path: &[&str]) -> Seen {
        let own = self.names.iter().filter(|(name, _)| name == path[0]).map(|(_, seen)| *seen);
        let longest = own.reduce(|one, other| {
            if one.size.bytes >= other.size.bytes {
                Seen { level: one.level.filter(|_| one.level == other.level), ..one }
            } else {
                Seen { level: other.level.filter(|_| one.level == other.level), ..other }
            }
        });
        match (longest, path[0]) {
            // A part is no longer than the whole.
            (Some(seen), _) if path.len() == 1 => seen,
            (Some(seen), _) => Seen { size: Size::of(seen.size.bytes, seen.size.kind), ..seen },
            (None, "loop") => Seen::fixed(Size::scalar()),
            (None, _) => Seen::fixed((self.sizes)(path)),
        }
    }
}

/// Returns the names of a path such as `inputs.files` or `inputs["files"]`.
fn path<'a>(expr: &'a Expr<'_>) -> Option<Vec<&'a str>> {
    match expr {
        Expr::Var(var) => Some(vec![var.id]),
        Expr::GetAttr(attr) => {
            let mut path = path(&attr.expr)?;
            path.push(attr.name);
            Some(path)
        }
        Expr::GetItem(item) => {
            let Expr::Const(name) = &item.subscript_expr else { return None };
            let mut path = path(&item.expr)?;
            path.push(name.value.as_str()?);
            Some(path)
        }
        _ => None,
    }
}
