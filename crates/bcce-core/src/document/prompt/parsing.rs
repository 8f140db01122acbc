//! Parses templates that the parser's stack is large enough for.

use minijinja::machinery::ast::Stmt;
use minijinja::machinery::{Span, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::base::limits::{MAX_ELIFS, MAX_TAG_TOKENS, MAX_TEMPLATE_BYTES};
use crate::document::prompt::cause;

/// Parses a template, unless it is too large or too deep for the parser's stack.
pub fn parsed(source: &str) -> Result<Stmt<'_>, String> {
    if source.len() > MAX_TEMPLATE_BYTES {
        return Err(format!("is {} bytes (limit: {MAX_TEMPLATE_BYTES})", source.len()));
    }
    check_tags(source)?;
    parse(source, "", SyntaxConfig::default()).map_err(|error| cause(&error))
}

/// Checks the length of each tag and the number of `elif`. This check runs before the parser, because the parser uses
/// stack for each token of a tag and for each `elif`.
fn check_tags(source: &str) -> Result<(), String> {
    let mut tokens = 0;
    let mut elifs = 0;
    let mut starts = false;
    for token in tokenize(source, false, SyntaxConfig::default()) {
        let (token, span) = token.map_err(|error| cause(&error))?;
        tokens = match token {
            Token::BlockStart | Token::VariableStart => 0,
            _ => tokens + 1,
        };
        elifs += usize::from(starts && matches!(token, Token::Ident("elif")));
        starts = matches!(token, Token::BlockStart);
        if tokens > MAX_TAG_TOKENS {
            return refused(
                span,
                &format!("a tag of more than {MAX_TAG_TOKENS} words and signs"),
                "split it",
            );
        }
        if elifs > MAX_ELIFS {
            return refused(
                span,
                &format!("an `elif` after {MAX_ELIFS} others"),
                "there are too many",
            );
        }
    }
    Ok(())
}

/// Returns the message that `what` is not available, with its line and the reason.
pub fn refused<T>(span: Span, what: &str, why: &str) -> Result<T, String> {
    Err(format!("{what} on line {} is not available: {why}", span.start_line))
}
