//! How long a prompt may get, before the answers are there that it names.
//!
//! A template is walked once. What a loop writes about its own variable is as long as the list as a whole; everything
//! else in a loop counts once for each of its items. Where a filter's growth depends on data, the bound is that of
//! every prompt, [`MAX_PROMPT_BYTES`].

mod filters; // what a filter makes of a value
mod size; // how long a value is
#[cfg(test)]
mod tests;

use minijinja::machinery::ast::{BinOpKind, Expr, ForLoop, Stmt};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;

use crate::base::limits::MAX_PROMPT_BYTES;
use crate::document::prompt::syntax::check;

use size::Seen;
pub use size::{Kind, Size};

const MOST: u64 = MAX_PROMPT_BYTES as u64;
/// The delimiters around a value, with the longest tag.
const DELIMITERS: u64 = 96;
/// Returns the most bytes that `source` renders to. `sizes` knows the variables by their path, e.g. `inputs`, `diff`.
pub fn most_bytes(source: &str, sizes: &dyn Fn(&[&str]) -> Size) -> u64 {
    if check(source).is_err() {
        return MOST;
    }
    let Ok(template) = parse(source, "", SyntaxConfig::default()) else { return MOST };
    let outside = Level { items: 1, ..Level::default() };
    let mut walk = Walk { sizes, names: Vec::new(), levels: vec![outside], captured: 0 };
    walk.statement(&template);
    walk.levels[0].each.min(MOST)
}

/// What is written in a loop; the outermost level is the template itself.
#[derive(Clone, Copy, Default)]
struct Level {
    items: u64,
    /// Counts the bytes of one turn.
    each: u64,
    /// Counts the bytes of all turns together.
    total: u64,
}

struct Walk<'a> {
    sizes: &'a dyn Fn(&[&str]) -> Size,
    /// Variables of the template's own. One that is set twice is as long as the longest.
    names: Vec<(String, Seen)>,
    levels: Vec<Level>,
    /// What is written now is kept in a variable, by so many blocks.
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
            // They are refused by the check of the syntax.
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

    /// The longer of two branches; in a loop some turns may take the one and some the other.
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
                // Each turn takes another part.
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
            // What is written out is no longer than the template.
            _ => Seen::fixed(Size::of(crate::base::limits::MAX_TEMPLATE_BYTES as u64, Kind::Data)),
        }
    }

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

/// `inputs.files` and `inputs["files"]` as names.
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
