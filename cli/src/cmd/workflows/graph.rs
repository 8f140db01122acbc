use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::exit::{Exit, Failure, Outcome};
use crate::graph::{Graph, mermaid, svg};
use crate::json;
use crate::report::file::{Readers, replace};
use crate::values::name;
use crate::workflows::Source;
use crate::workflows::json::{DRAWN, drawn};
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&DRAWN]))]
pub struct Args {
    /// Name of the workflow
    #[arg(value_parser = name)]
    workflow: String,
    #[command(flatten)]
    source: Source,
    /// Format of the drawing
    #[arg(long, default_value = "mermaid")]
    format: Format,
    /// File to write, instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the nodes and edges as JSON instead of a drawing
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Text that GitHub and many wikis draw
    Mermaid,
    /// A picture, in light and dark
    Svg,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let place = args.source.open(world).await?;
    let (_, template) = place.one(&args.workflow).await?;
    let graph = Graph::of_workflow(&template);
    let mut text = Vec::new();
    match args.format {
        _ if args.json => json::print(&drawn(&graph), &mut text)?,
        Format::Mermaid => text.extend(mermaid::text(&graph).into_bytes()),
        Format::Svg => text.extend(svg::file(&graph).into_bytes()),
    }
    match &args.output {
        Some(path) => write(path, &text)?,
        None => out.write_all(&text)?,
    }
    Ok(Exit::Done)
}

fn write(path: &Path, text: &[u8]) -> Outcome<()> {
    replace(path, text, Readers::Usual).map_err(|error| {
        let what = format!("{} cannot be written: {error}", path.display());
        Failure::usage(what, "give the path of a file in an existing directory to --output")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_drawing_has_the_permissions_of_any_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (drawing, usual) = (folder.path().join("a.svg"), folder.path().join("usual"));
        write(&drawing, b"<svg/>").unwrap();
        std::fs::write(&usual, "").unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&drawing), mode(&usual));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let failure = write(Path::new("/gone/x.svg"), b"").unwrap_err();
        assert!(
            failure.what.starts_with("/gone/x.svg cannot be written: No such file"),
            "{failure:?}"
        );
        assert_eq!(failure.exit, Exit::Usage);
    }
}
