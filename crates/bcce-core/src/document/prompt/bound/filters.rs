//! Computes the size of a value after a filter.

use minijinja::machinery::ast::{CallArg, Expr};

use crate::document::prompt::bound::size::{Kind, Seen, Size};
use crate::document::prompt::bound::{MOST, Walk};

impl Walk<'_> {
    /// Returns the size of `base` after `filter`.
    pub(super) fn filtered(&mut self, filter: &Expr<'_>, base: Seen) -> Seen {
        let Expr::Filter(filter) = filter else { return Seen::fixed(Size::of(MOST, Kind::Data)) };
        let unknown = Seen::fixed(Size::of(MOST, Kind::Data));
        match (filter.name, &filter.args[..]) {
            ("abs" | "count" | "float" | "int" | "length" | "round", _) => base.times(0),
            ("tojson", _) => base.times(if base.size.kind == Kind::Text { 2 } else { 1 }),
            ("cached" | "first" | "last" | "safe" | "string" | "trim" | "truncate", _) => base,
            // A letter in the other case may take up to three times as many bytes.
            ("lower" | "upper", _) => base.times(3),
            // Quotes, commas and indentation are most of the JSON of a list of short texts.
            ("items" | "lines", _) => base.times(8),
            ("d" | "default", args) => match args.first() {
                Some(CallArg::Pos(other)) => base.and(self.expression(other)),
                _ => base,
            },
            ("join", []) => base,
            ("join", [CallArg::Pos(Expr::Const(between))]) => {
                base.times(1 + between.value.to_string().len() as u64)
            }
            ("indent", [CallArg::Pos(Expr::Const(width)), ..]) => {
                match u64::try_from(width.value.clone()) {
                    Ok(width) => base.times(width.saturating_add(1)),
                    Err(_) => unknown,
                }
            }
            ("replace", [CallArg::Pos(Expr::Const(from)), CallArg::Pos(Expr::Const(to))]) => {
                let from = from.value.to_string().len();
                let to = to.value.to_string().len();
                match from {
                    0 => unknown,
                    from => base.times(to.div_ceil(from).max(1) as u64),
                }
            }
            _ => unknown,
        }
    }
}
