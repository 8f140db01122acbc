//! Filters what reaches a terminal. Text of models, senders and services must not control the terminal, so standard
//! output and standard error are written only through this module.
//!
//! On a terminal, control characters and bidirectional controls become U+FFFD, and carriage returns are dropped. The
//! command's own colors and cursor movements are written with [`control`], which foreign text cannot guess. A pipe or a
//! file receives every byte unchanged.

use std::hash::{BuildHasher, Hasher};
use std::io::{IsTerminal, Result, Write};
use std::sync::LazyLock;

/// The marker for the two characters that begin a control sequence. Its digits are random in each process.
static CONTROL: LazyLock<String> = LazyLock::new(|| {
    let digits = || std::hash::RandomState::new().build_hasher().finish();
    format!("\u{f8ff}{:016x}{:016x}\u{f8ff}", digits(), digits())
});

/// Returns the marker that a terminal receives as `ESC [`. It must be written only to a terminal.
pub fn control() -> &'static str {
    &CONTROL
}

/// An output that keeps foreign text from controlling the terminal.
pub struct Output<W> {
    inner: W,
    is_terminal: bool,
    /// The first bytes of a character whose other bytes come with the next write.
    rest: Vec<u8>,
}

impl<W: Write> Output<W> {
    /// Wraps an output. Only a terminal is filtered.
    pub fn new(inner: W, is_terminal: bool) -> Self {
        Self { inner, is_terminal, rest: Vec::new() }
    }
}

/// Returns the standard output of this process.
pub fn output() -> Output<std::io::Stdout> {
    let stdout = std::io::stdout();
    let is_terminal = stdout.is_terminal();
    Output::new(stdout, is_terminal)
}

/// Returns the standard error of this process.
pub fn errors() -> Output<std::io::Stderr> {
    let stderr = std::io::stderr();
    let is_terminal = stderr.is_terminal();
    Output::new(stderr, is_terminal)
}

/// Writes a line to standard error. An error of the write is ignored because there is nowhere to report it.
pub fn note(line: &str) {
    let _ = writeln!(errors(), "{line}");
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if !self.is_terminal {
            return self.inner.write(bytes);
        }
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.len() - cut_off(&self.rest);
        let rest = self.rest.split_off(whole);
        let text = std::mem::replace(&mut self.rest, rest);
        self.inner.write_all(harmless(&String::from_utf8_lossy(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

/// Returns the number of bytes at the end that are an incomplete character, which the next write may complete.
fn cut_off(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last().map(|chunk| chunk.invalid()).unwrap_or_default();
    let needed = match last.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 0,
    };
    if last.len() < needed && bytes.ends_with(last) { last.len() } else { 0 }
}

fn harmless(text: &str) -> String {
    let parts: Vec<String> = text.split(control()).map(without_controls).collect();
    parts.join("\x1b[")
}

/// Replaces control characters and bidirectional controls by U+FFFD. Line feeds and tabs are kept.
pub fn without_controls(text: &str) -> String {
    let kept = |c: char| match c {
        '\n' | '\t' => Some(c),
        '\r' => None,
        c if c.is_control() || is_bidirectional(c) => Some('\u{fffd}'),
        c => Some(c),
    };
    text.chars().filter_map(kept).collect()
}

/// Returns true if the character controls the direction of text.
pub fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets the title, clears the screen with C0 and C1 controls, reverses the direction, sends BEL and moves back.
    const HOSTILE: &str =
        "a\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}b\u{2066}\x08\u{61c}\x7f\u{85}\rc\td\ne";
    const HARMLESS: &str = "a\u{fffd}]0;owned\u{fffd}\u{fffd}[2J\u{fffd}31m\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}c\td\ne";

    fn written(is_terminal: bool, writes: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut output = Output::new(&mut bytes, is_terminal);
        writes.iter().for_each(|write| output.write_all(write).unwrap());
        output.flush().unwrap();
        bytes
    }

    #[test]
    fn foreign_text_does_not_steer_a_terminal() {
        let shown = written(true, &[HOSTILE.as_bytes()]);
        assert_eq!(String::from_utf8(shown).unwrap(), HARMLESS);
        // A C1 control as a single byte, which is not UTF-8.
        assert_eq!(written(true, &[b"a\x9b31mb"]), "a\u{fffd}31mb".as_bytes());
    }

    #[test]
    fn a_pipe_gets_the_bytes_as_they_are() {
        for bytes in [HOSTILE.as_bytes(), b"\x9b\xff\xe2\x80"] {
            assert_eq!(written(false, &[bytes]), bytes);
        }
    }

    #[test]
    fn a_character_may_be_cut_by_any_writes() {
        let each: Vec<&[u8]> = HOSTILE.as_bytes().chunks(1).collect();
        assert_eq!(String::from_utf8(written(true, &each)).unwrap(), HARMLESS);
        let text = "ä€𝄞\u{202e}";
        let each: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(String::from_utf8(written(true, &each)).unwrap(), "ä€𝄞\u{fffd}");
        assert_eq!(written(true, &[b"\xe2", b"x"]), "\u{fffd}x".as_bytes());
    }

    #[test]
    fn a_guessed_marker_is_only_text() {
        let guessed = format!("\u{f8ff}{}\u{f8ff}2J", "0".repeat(32));
        assert_eq!(written(true, &[guessed.as_bytes()]), guessed.as_bytes());
    }

    /// Shows that every command is covered, because nothing else writes to the two outputs.
    #[test]
    fn nothing_else_writes_to_standard_output_or_standard_error() {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut folders, mut files) = (vec![source], 0);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if path.ends_with("src/terminal.rs") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for word in ["print!(", "println!(", "dbg!(", "stderr()", "\\x1b["] {
                    assert!(!text.contains(word), "{word} in {}", path.display());
                }
                // To ask whether standard output is a terminal is allowed.
                let written = text.replace("stdout().is_terminal()", "");
                assert!(!written.contains("stdout()"), "stdout() in {}", path.display());
                files += 1;
            }
        }
        assert!(files > 40, "{files} files");
    }
}
