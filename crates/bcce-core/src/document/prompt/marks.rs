//! Finds the marks of a template: the places up to which its author wants the prompt cached.
//!
//! The filter `cached` marks the end of a prefix. It is the last filter of a `{{ }}` outside of all blocks, so a
//! template has as many marks as its author wrote, and no value can add one.

use minijinja::machinery::ast::{Expr, Filter, Stmt};
use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::parsing::parsed;

/// The name of the filter.
pub(super) const CACHED: &str = "cached";

/// Returns the filter `cached` and the place of its expression, if `stmt` is a mark.
pub(super) fn mark<'a, 'b>(stmt: &'a Stmt<'b>) -> Option<(&'a Filter<'b>, Span)> {
    match stmt {
        Stmt::EmitExpr(emit) => match &emit.expr {
            Expr::Filter(filter) if filter.name == CACHED => Some((filter, emit.span())),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the template up to and including each mark, from the first to the last. Each of them is a template that
/// renders to the text before that mark. Returns nothing for a template with a syntax error.
pub fn marked(source: &str) -> Vec<&str> {
    let marks: Vec<usize> = with_children(source, |children| {
        children.iter().filter_map(mark).map(|(_, span)| span.end_offset as usize).collect()
    });
    let ends = || {
        let tokens = tokenize(source, false, SyntaxConfig::default()).filter_map(Result::ok);
        let ends = tokens.filter(|(token, _)| matches!(token, Token::VariableEnd));
        ends.map(|(_, span)| span.end_offset as usize)
    };
    let end = |mark: usize| ends().find(|end| *end > mark);
    marks.into_iter().filter_map(|mark| source.get(..end(mark)?)).collect()
}

/// Returns the template up to its first `{{ }}` or `{% %}`: text that is the same in every prompt.
pub fn static_text(source: &str) -> &str {
    let mut tokens = tokenize(source, false, SyntaxConfig::default()).filter_map(Result::ok);
    let first = tokens.find(|(token, _)| !matches!(token, Token::TemplateData(_)));
    match first {
        Some((_, span)) => source.get(..span.start_offset as usize).unwrap_or_default(),
        None => source,
    }
}

/// Returns the length of [`static_text`] once it is rendered, in bytes.
pub(super) fn static_length(source: &str) -> usize {
    with_children(source, |children| {
        let texts = children.iter().map_while(|stmt| match stmt {
            Stmt::EmitRaw(raw) => Some(raw.raw.len()),
            _ => None,
        });
        texts.sum()
    })
}

fn with_children<T: Default>(source: &str, read: impl FnOnce(&[Stmt<'_>]) -> T) -> T {
    match parsed(source) {
        Ok(Stmt::Template(template)) => read(&template.children),
        _ => T::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_ends_at_each_mark() {
        let source = "Ä {{ inputs.a }}\n{{ inputs.b | trim | cached -}}\n ü {{ '}}' | cached }} c";
        let expected = [
            "Ä {{ inputs.a }}\n{{ inputs.b | trim | cached -}}",
            "Ä {{ inputs.a }}\n{{ inputs.b | trim | cached -}}\n ü {{ '}}' | cached }}",
        ];
        assert_eq!(marked(source), expected);
        assert_eq!(
            marked("{{ a | cached | trim }}{{ 'a | cached' }}{# {{ a | cached }} #}"),
            [""; 0]
        );
        assert_eq!(marked("{% raw %}{{ a | cached }}{% endraw %}{{ oops"), [""; 0]);
    }

    #[test]
    fn the_static_text_ends_at_the_first_tag() {
        #[rustfmt::skip]
        let table = [
            ("Rules.\n{{ a }} b", "Rules.\n", 7),
            ("Rules.\n{{- a }} b", "Rules.\n", 6),
            ("{{ a }} b", "", 0),
            ("Rules.", "Rules.", 6),
            ("A{# not sent #}B{% if a %}c{% endif %}", "A{# not sent #}B", 2),
        ];
        for (source, text, length) in table {
            assert_eq!((static_text(source), static_length(source)), (text, length), "{source}");
        }
    }
}
