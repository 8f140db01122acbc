//! What the command line takes.

use clap::builder::styling::Styles;
use clap::{Parser, Subcommand};

use crate::cmd;
use crate::values::name;

/// Runs Claude workflows on Amazon Bedrock: sends requests to a deployed BCCE stack, follows their
/// runs, reads and verifies what they left.
#[derive(Debug, Parser)]
#[command(name = "bcce", version, styles = Styles::styled(), after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// Environment of the stack, found by the SSM parameter /bcce/<ENV>/stack
    #[arg(
        long = "env",
        value_name = "ENV",
        env = "BCCE_ENVIRONMENT",
        default_value = "dev",
        global = true,
        hide_env_values = true,
        value_parser = name
    )]
    pub environment: String,
    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and the run succeeded, or every item of the batch
  1  the run, an item of the batch or the check failed; `config diff`: something would change
  2  wrong usage or input; nothing was sent
  3  AWS or the stack could not be reached, or answered with an error
  4  timed out waiting; the run or the batch goes on

Account and region are those of the AWS environment: AWS_PROFILE, AWS_REGION, keys, SSO, a role.
AWS_ENDPOINT_URL leads to a local emulator (`make up` writes one's addresses to .local/stack.env).";

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Send a request to the inbox and print its run id
    ///
    /// The request is first checked for everything that the stack would refuse it for.
    Submit(cmd::submit::Args),
    /// List, show, explain, follow, verify, retry, cancel and finalize runs
    #[command(subcommand)]
    Runs(Runs),
    /// Submit, list, watch, read, verify, retry, cancel and finalize batches: manifests of items, each a run
    #[command(subcommand)]
    Batch(Batch),
    /// List, show, put back and drop dead letters: messages that were not valid requests
    #[command(subcommand)]
    Dlq(Dlq),
    /// Stop taking messages out of the inboxes; they wait there, runs under way go on
    Pause(cmd::pause::Args),
    /// Take messages out of the inboxes again
    Resume(cmd::pause::Args),
    /// Check configuration files and move them into the stack
    #[command(subcommand)]
    Config(Config),
    /// Print the public key that verifies manifests, as PEM
    ///
    /// With it `bcce runs verify --public-key FILE` asks KMS for nothing, and `bcce key --pin` keeps it
    /// in the checkout. On downloaded files no AWS is needed:
    /// `(echo 'bcce run manifest 1'; cat manifest-1.json) | openssl dgst -sha256 -verify FILE -signature
    /// manifest-1.json.sig` checks the signature, `sha256sum` each digest that the manifest lists. The
    /// line before the manifest has the word that its `kind` says: run, item or batch.
    Key(cmd::key::Args),
}

#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs, newest first
    List(cmd::list::Args),
    /// Show a run: its steps, attempts, cost and artifacts
    Show(cmd::show::Args),
    /// Explain a run: what it decided and why, every call, every wait
    ///
    /// Prints a timeline read off the run's artifacts, for whoever asks why a run took so long, cost so much, went
    /// to that region or failed. Each step lists its decisions with the reason each target was taken or passed
    /// over, its calls with their outcomes, and its waits; times count from the run's start. The last lines are a
    /// summary. A step that is under way is explained once it ends.
    Explain(cmd::explain::Args),
    /// Follow a run until it is over; exits by its status
    Follow(cmd::follow::Args),
    /// Print a run's answer
    Output(cmd::output::Args),
    /// Continue a run that failed or was cancelled, with its plan and its finished steps
    ///
    /// Starts the next attempt at the same run: steps that answered are found and not paid again, and its manifest
    /// sums up what it paid itself. A run that was refused before it had a plan is planned again, with the current
    /// configuration. Two retries at once start one attempt.
    Retry(cmd::retry::Args),
    /// Stop a run, and wait until it is finalized
    ///
    /// Calls that are under way are answered, paid and listed in the manifest, so that this may take a
    /// quarter of an hour. If every step had answered already, the run has succeeded: exit code 1.
    Cancel(cmd::cancel::Args),
    /// Finalize a run that stays RUNNING although its execution is over
    ///
    /// Starts the finalize machine, which seals the run, counts it and sends its notification. Step Functions
    /// reports the end of an execution by best effort: this is for a run whose report was lost. Safe to repeat.
    Finalize(cmd::finalize::Args),
    /// Check a run's signature and every digest
    ///
    /// The manifest's signature must be the stack's, every artifact it lists must have its digest and
    /// size, and every object of the run must be in a signed manifest of some attempt. Prints the key's
    /// fingerprint, which `bcce key --pin` keeps. Exits with 1 and a line for each fault otherwise.
    Verify(cmd::verify::Args),
}

#[derive(Debug, Subcommand)]
pub enum Batch {
    /// Send a batch to the inbox and print its id
    ///
    /// SOURCE is a manifest, of JSON objects a line or a CSV with its names first, or a prefix whose objects are the
    /// items. Each item is first checked for everything that its run would be refused for; items that are wrong are
    /// listed and do not stop the others. A file is uploaded to batches/uploads/ of the stack's bucket, a manifest of
    /// another bucket copied there by your own rights; one that lies in batches/inbox/ or batches/uploads/ is taken
    /// as it is. A prefix of another bucket is read by the stack, which has to be given access: template
    /// parameter BatchSources.
    ///
    /// An item's fields are the workflow's inputs and its `id`, unless --map and --item-id say where those are.
    /// Without --id the batch gets one from the source's name, its content and the other options, so that the same
    /// command twice is one batch.
    Submit(Box<cmd::batch::submit::Args>),
    /// List batches, newest first
    List(cmd::batch::list::Args),
    /// Show a batch: how far it is, how fast, for how much, what failed; with --watch until it is over
    Status(cmd::batch::status::Args),
    /// Print a line of JSON for each item: its status, run, cost and error
    Results(cmd::batch::results::Args),
    /// Print a line of JSON for each item that succeeded: its answer
    Outputs(cmd::batch::outputs::Args),
    /// Check a batch's signature and the digests of its results and outputs
    ///
    /// Each run of it has a manifest and a signature of its own: `bcce runs verify`.
    Verify(cmd::batch::verify::Args),
    /// Run again what is left of a batch: items that failed, were cancelled or were not started
    ///
    /// Starts the next attempt at the same batch, with its items as they were read. Items that succeeded are kept and
    /// not paid again, rejected ones stay rejected. Two retries at once start one attempt.
    Retry(cmd::batch::retry::Args),
    /// Stop a batch, and wait until it is finalized
    ///
    /// No further item is started. What its runs had answered is kept, paid and listed, so that this may take a
    /// quarter of an hour.
    Cancel(cmd::batch::cancel::Args),
    /// Finalize a batch that stays RUNNING although its execution is over
    ///
    /// Starts the finalize machine, which has the items' results collected, the batch sealed and its notification
    /// sent. Step Functions reports the end of an execution by best effort: this is for a batch whose report was lost.
    /// Safe to repeat.
    Finalize(cmd::batch::finalize::Args),
}

#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// List dead letters, oldest first, with the reason of each
    ///
    /// Looking at a queue hides its messages for up to a minute; messages that were looked at are shown again at once.
    List(cmd::dlq::list::Args),
    /// Show a dead letter and its body
    Show(cmd::dlq::show::Args),
    /// Send dead letters to the inbox of their tenant again
    ///
    /// Each keeps its request id, so that a letter that is sent twice runs once. A message that is not a valid request
    /// comes back: correct what is wrong first, or send it again as another request.
    Redrive(cmd::dlq::redrive::Args),
    /// Delete dead letters for good
    Drop(cmd::dlq::drop::Args),
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check a directory of configuration, without AWS
    ///
    /// Runs the checks that a run is planned with on each file, and checks what the files say of each other: models
    /// that steps name and what they take, targets that policy allows, a price for today of every target, workflows
    /// and inputs that webhooks start. Files that do not end in .yaml or .yml, and hidden files, are
    /// left out.
    Validate(cmd::validate::Args),
    /// Show what `config push` would change on the stack
    ///
    /// Each document that it would write: new ones, changed ones with the differences from the stack's
    /// text to the file's, and ones that are broken on the stack, with the cause. Workflows and webhooks that it
    /// would leave are named, and are no difference. Exits as diff does: 0 when nothing would change, 1 when
    /// something would, 2 when the files are wrong and nothing was compared.
    Diff(cmd::diff::Args),
    /// Check a directory of configuration and write it to the stack
    ///
    /// Nothing is written when anything is wrong. What is unchanged is left alone, what is broken on the
    /// stack is mended; workflows and webhooks of the stack that the directory does not have stay. A push that broke
    /// off has written whole documents, and a second one writes the rest.
    Push(cmd::push::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
