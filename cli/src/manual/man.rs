//! Formats the help of a command as a man page.

use std::io::Result;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::blocks::{Block, blocks};

pub fn page(command: &Command, version: &str) -> String {
    let mut page = Vec::new();
    // Writing to memory does not fail.
    let _ = write(command, version, &mut page);
    String::from_utf8_lossy(&page).into_owned()
}

fn write(command: &Command, version: &str, page: &mut Vec<u8>) -> Result<()> {
    let man = Man::new(command.clone()).source(format!("bcce {version}")).manual("BCCE");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    let help = command.get_after_long_help().or(command.get_after_help());
    help.map_or(Ok(()), |help| after(&help.to_string()).to_writer(page))
}

/// Formats the text after the help. The library would print it as one section.
fn after(text: &str) -> Roff {
    let mut roff = Roff::default();
    for block in blocks(text) {
        match block {
            Block::Paragraph(text) => {
                roff.control("PP", []).text([roman(text)]);
            }
            Block::Section { title, intro, rows } => {
                roff.control("SH", [title.to_uppercase().as_str()]);
                if !intro.is_empty() {
                    roff.text([roman(intro)]);
                }
                for (name, meaning) in rows {
                    roff.control("TP", []).text([bold(name)]).text([roman(meaning)]);
                }
            }
        }
    }
    roff
}
