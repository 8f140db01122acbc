//! Reads the imports of a Rust file: each path that begins with `crate`, `super` or `self`, in a `use` or inline.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path from the root of its crate, with the line of its last name.
pub struct Import {
    pub line: usize,
    pub path: Vec<String>,
    /// The import is in code that is compiled for tests only.
    pub is_test: bool,
}

/// The imports of a file.
#[derive(Default)]
pub struct Source {
    pub imports: Vec<Import>,
    /// The modules that are separate files and compiled for tests only: `#[cfg(test)] mod tests;`.
    pub test_modules: Vec<String>,
}

/// Reads a file of the module `module`.
pub fn read(module: &[String], text: &str) -> Source {
    let mut source = Source::default();
    source.walk(module, text.parse().expect("tokens of Rust"), false);
    source
}

impl Source {
    /// Reads the tokens of a module, or of a block within it.
    fn walk(&mut self, module: &[String], tokens: TokenStream, is_test: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut test_until = if is_test { tokens.len() } else { 0 };
        for at in 0..tokens.len() {
            let is_test = at < test_until;
            let name = text(&tokens, at);
            match &tokens[at] {
                TokenTree::Punct(_) if name == "#" && text(&tokens, at + 1) == "[cfg(test)]" => {
                    test_until = test_until.max(item_end(&tokens, at + 2));
                }
                TokenTree::Group(group) if at >= 2 && text(&tokens, at - 2) == "mod" => {
                    let inner = [module, &[text(&tokens, at - 1)]].concat();
                    self.walk(&inner, group.stream(), is_test);
                }
                TokenTree::Group(group) => self.walk(module, group.stream(), is_test),
                TokenTree::Ident(_) if name == "mod" && text(&tokens, at + 2) == ";" && is_test => {
                    self.test_modules.push(text(&tokens, at + 1));
                }
                TokenTree::Ident(_)
                    if ["crate", "super", "self"].contains(&name.as_str())
                        && is_separator(&tokens, at + 1)
                        && (at == 0 || text(&tokens, at - 1) != ":") =>
                {
                    self.path(if name == "crate" { &[] } else { module }, &tokens[at..], is_test);
                }
                _ => {}
            }
        }
    }

    /// Reads the path `a::b` or `a::{b, c::d}`, which follows `base`.
    fn path(&mut self, base: &[String], tokens: &[TokenTree], is_test: bool) {
        let mut path = base.to_vec();
        let mut at = 0;
        let mut line = 0;
        while let Some(token) = tokens.get(at) {
            line = token.span().start().line;
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    let parts = inner.split(|token| token.to_string() == ",");
                    for part in parts.filter(|part| !part.is_empty()) {
                        self.path(&path, part, is_test);
                    }
                    return;
                }
                TokenTree::Ident(name) if name == "super" => drop(path.pop()),
                TokenTree::Ident(name) if name == "crate" || name == "self" => {}
                TokenTree::Ident(name) => path.push(name.to_string()),
                _ => break,
            }
            if !is_separator(tokens, at + 1) {
                break;
            }
            at += 3;
        }
        if !path.is_empty() {
            self.imports.push(Import { line, path, is_test });
        }
    }
}

/// Returns the position after the item that begins at `at`, which ends with its block or its semicolon.
fn item_end(tokens: &[TokenTree], at: usize) -> usize {
    let is_use = (at..at + 3).any(|at| text(tokens, at) == "use");
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !is_use,
        token => token.to_string() == ";",
    };
    tokens.iter().skip(at).position(ends).map_or(tokens.len(), |length| at + length + 1)
}

/// Returns true if `::` is at the position.
fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    text(tokens, at) == ":" && text(tokens, at + 1) == ":"
}

/// Returns the text of a token without spaces, and an empty text for a block.
fn text(tokens: &[TokenTree], at: usize) -> String {
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() != Delimiter::Bracket => String::new(),
        Some(token) => token.to_string().split_whitespace().collect(),
        None => String::new(),
    }
}
