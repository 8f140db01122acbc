//! Splits the text after the help of a command into paragraphs and sections.

/// A part of a text.
#[derive(Debug, PartialEq)]
pub enum Block<'a> {
    Paragraph(&'a str),
    /// Rows of names and their meanings below a heading.
    Section {
        title: &'a str,
        intro: &'a str,
        rows: Vec<(&'a str, &'a str)>,
    },
}

/// Returns the blocks of a text, which empty lines separate. A block is a section if its first line has a colon, and
/// its other lines are indented. Two spaces separate the name of a row from its meaning.
pub fn blocks(text: &str) -> Vec<Block<'_>> {
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(block).collect()
}

fn block(text: &str) -> Block<'_> {
    let (head, rows) = text.split_once('\n').unwrap_or((text, ""));
    let is_section = !rows.is_empty() && rows.lines().all(|row| row.starts_with("  "));
    let Some((title, intro)) = head.split_once(':').filter(|_| is_section) else {
        return Block::Paragraph(text);
    };
    let rows = rows.lines().map(|row| match row.trim().split_once("  ") {
        Some((name, meaning)) => (name, meaning.trim()),
        None => (row.trim(), ""),
    });
    Block::Section { title, intro: intro.trim(), rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_rows() {
        let text = "Exit codes:\n  0  success: all\n  141\n\nFields: An object.\n  a, b   both\n\nThe: end.";
        let section =
            |title, intro, rows: &[_]| Block::Section { title, intro, rows: rows.to_vec() };
        let expected = [
            section("Exit codes", "", &[("0", "success: all"), ("141", "")]),
            section("Fields", "An object.", &[("a, b", "both")]),
            Block::Paragraph("The: end."),
        ];
        assert_eq!(blocks(text), expected);
    }
}
