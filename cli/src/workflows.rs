//! The workflows of a stack, or of a directory of configuration files.

pub mod json; // workflows as JSON
mod read; // reads workflows from SSM and S3
pub mod view; // displays a workflow

use std::path::{Path, PathBuf};

use bcce_core::base::digest::sha256_hex;
use bcce_core::config::budgets::Budgets;
use bcce_core::config::template::Template;
use bcce_core::document::{closest, from_yaml};
use bcce_core::io::reader::{Reader, read_budgets};
use time::OffsetDateTime;

use crate::directory::{Texts, checked};
use crate::exit::{Exit, Failure, Outcome};
use crate::stack::Stack;
use crate::world::World;

/// A workflow as it was read.
#[derive(Debug, PartialEq)]
pub struct Workflow {
    pub name: String,
    /// The SSM parameter, or the path of the file.
    pub document: String,
    /// The digest of the text. `None` if the text cannot be read.
    pub sha256: Option<String>,
    /// The time of the push. `None` in a directory.
    pub pushed_at: Option<OffsetDateTime>,
    /// The workflow, or the reason why no run can be planned with it.
    pub template: Result<Template, String>,
}

/// The option that chooses where workflows are read.
#[derive(Debug, clap::Args)]
pub struct Source {
    /// Read a directory of configuration files, such as infra/config/dev, instead of the stack; AWS is not needed
    #[arg(long = "dir", value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// The place that has the workflows.
pub enum Place {
    Stack(Box<Stack>),
    Directory(PathBuf, Texts),
}

impl Source {
    /// Finds the stack, or reads and checks the directory.
    ///
    /// # Errors
    /// There is no stack, it cannot be reached, or the directory cannot be read or has faults.
    pub async fn open(&self, world: &World) -> Outcome<Place> {
        let Some(directory) = &self.directory else {
            return Ok(Place::Stack(Box::new(Stack::find(world).await?)));
        };
        let texts = checked(directory, None, Exit::Usage, "correct the files and try again")?;
        Ok(Place::Directory(directory.clone(), texts))
    }
}

impl Place {
    /// Returns the name of the environment, or the path of the directory.
    pub fn name(&self) -> String {
        match self {
            Self::Stack(stack) => stack.environment.clone(),
            Self::Directory(directory, _) => directory.display().to_string(),
        }
    }

    /// Reads all workflows, ordered by name.
    ///
    /// # Errors
    /// SSM or S3 cannot be reached.
    pub async fn all(&self) -> Outcome<Vec<Workflow>> {
        self.read(&self.names().await?).await
    }

    /// Reads a workflow that must be valid, and its template.
    ///
    /// # Errors
    /// There is no such workflow, it is invalid, or SSM or S3 cannot be reached.
    pub async fn one(&self, name: &str) -> Outcome<(Workflow, Template)> {
        let names = self.names().await?;
        if !names.iter().any(|known| known == name) {
            return Err(self.unknown(name, &names));
        }
        let mut read = self.read(std::slice::from_ref(&name.to_owned())).await?;
        let Some(workflow) = read.pop() else { return Err(self.unknown(name, &names)) };
        match workflow.template.clone() {
            Ok(template) => Ok((workflow, template)),
            Err(cause) => Err(Failure::unreachable(
                format!("the workflow {name} in {} is invalid: {cause}", self.name()),
                "`bcce config diff DIR` shows what is wrong with the configuration, `bcce config push DIR` corrects it",
            )),
        }
    }

    /// Reads the budgets, whose limits bound each run and each batch.
    ///
    /// # Errors
    /// The document is invalid, or SSM or S3 cannot be reached.
    pub async fn budgets(&self) -> Outcome<Budgets> {
        match self {
            Self::Stack(stack) => {
                let Stack { store, parameters, outputs, environment, .. } = stack.as_ref();
                Ok(read_budgets(store, parameters, &outputs.artifact_bucket, environment).await?)
            }
            Self::Directory(_, texts) => {
                let text = texts.get("budgets.yaml");
                // The files are valid.
                let budgets = text.and_then(|text| from_yaml::<Budgets>(text).finished().ok());
                Ok(budgets.unwrap_or_default())
            }
        }
    }

    async fn names(&self) -> Outcome<Vec<String>> {
        Ok(match self {
            Self::Stack(stack) => stack.workflows().await?,
            Self::Directory(_, texts) => {
                texts.keys().filter_map(|file| workflow_of(file)).map(str::to_owned).collect()
            }
        })
    }

    async fn read(&self, names: &[String]) -> Outcome<Vec<Workflow>> {
        match self {
            Self::Stack(stack) => {
                let Stack { store, parameters, outputs, environment, .. } = stack.as_ref();
                let bucket = outputs.artifact_bucket.as_str();
                Ok(read::deployed(&Reader { store, parameters, bucket, environment }, names)
                    .await?)
            }
            Self::Directory(directory, texts) => Ok(of_files(directory, texts, names)),
        }
    }

    fn unknown(&self, name: &str, names: &[String]) -> Failure {
        let meant = closest(name, names).map(|name| format!("; did you mean {name}?"));
        let known = match names {
            [] => "there are none".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        };
        let place = self.name();
        Failure::usage(
            format!("there is no workflow {name} in {place}; {known}{}", meant.unwrap_or_default()),
            "`bcce workflows list` shows them; --env and AWS_PROFILE select the stack, --dir a directory",
        )
    }
}

/// Returns the name of the workflow in a file of a directory.
fn workflow_of(file: &str) -> Option<&str> {
    file.strip_prefix("workflows/")?.strip_suffix(".yaml")
}

fn of_files(directory: &Path, texts: &Texts, names: &[String]) -> Vec<Workflow> {
    let of_file = |(file, text): (&String, &String)| {
        let name = workflow_of(file).filter(|name| names.iter().any(|wanted| wanted == name))?;
        let document = directory.join(file).display().to_string();
        Some(parsed(name, document, None, text))
    };
    texts.iter().filter_map(of_file).collect()
}

fn parsed(name: &str, document: String, pushed_at: Option<OffsetDateTime>, text: &str) -> Workflow {
    Workflow {
        name: name.to_owned(),
        document,
        sha256: Some(sha256_hex(text.as_bytes())),
        pushed_at,
        template: Template::parse(text).map_err(|problems| problems.to_string()),
    }
}

#[cfg(test)]
pub mod tests;
