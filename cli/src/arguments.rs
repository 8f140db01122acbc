//! Defines the command line: the commands, their options and their help.

use clap::builder::styling::Styles;
use clap::{Parser, Subcommand};

use crate::cmd;
use crate::exit::EXIT_CODES;
use crate::json::{fields, records};
use crate::values::name;

/// Run Claude workflows on Amazon Bedrock
///
/// Sends requests to a deployed BCCE stack, follows their runs, and reads and verifies the results.
#[derive(Debug, Parser)]
#[command(name = "bcce", version, styles = Styles::styled(), after_help = after_help(), max_term_width = 100)]
pub struct Cli {
    /// Environment of the stack; the SSM parameter /bcce/ENV/stack holds the stack's outputs
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

fn after_help() -> String {
    format!(
        "{EXIT_CODES}\n\n\
         The AWS environment selects the account and the region: AWS_PROFILE, AWS_REGION, access keys, SSO or a role. \
         For the local stack of `make up`, run `set -a; . .local/stack.env; set +a` first."
    )
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Send a request to the inbox and print its run id
    ///
    /// The command first makes the checks that the stack makes. It does not send an invalid request.
    Submit(cmd::submit::Args),
    /// List, show, explain, report, follow, read, verify, retry, cancel and finalize runs, and print their logs
    ///
    /// A run is named by its id, by the first characters of its id (at least 4) or by its request id. The first
    /// characters are searched in the runs of the last 30 days. If several runs have the name, they are listed, and
    /// nothing is done. A packed item of a batch needs its whole id.
    #[command(subcommand)]
    Runs(Runs),
    /// Submit, list, watch, read, report, verify, retry, cancel and finalize batches
    ///
    /// A batch is named by its id, by the first characters of its id (at least 4) or by its request id. The first
    /// characters are searched in the batches of the last 30 days. If several batches have the name, they are listed,
    /// and nothing is done.
    #[command(subcommand)]
    Batch(Batch),
    /// List, show and draw the workflows of the stack, or of a directory of configuration files
    #[command(subcommand)]
    Workflows(Workflows),
    /// Show the cost, the tokens, the latency and the errors of a period, and advise what to change
    #[command(subcommand)]
    Metrics(Metrics),
    /// Show the targets of each model alias: their price, breaker, speed, share of the calls and last canary call
    ///
    /// Reads only the stack: its documents and the ledger. With --live, also asks Bedrock whether each target can be
    /// called and for the life cycle of its model. `share` is that of the calls on demand of runs that were sealed
    /// since yesterday 00:00Z; calls of the canary do not count. `bcce doctor` checks the same targets and exits with 1
    /// if one of them is at fault.
    Models(cmd::models::Args),
    /// Show what is spent and reserved of the budgets
    #[command(subcommand)]
    Budgets(BudgetVerb),
    /// List, show, redrive and drop dead letters: messages that could not become a run
    #[command(subcommand)]
    Dlq(Dlq),
    /// Check the credentials, the stack, its documents and its targets, and say what to do
    ///
    /// Checks the credentials, the clock, the region, the stack and its version, the documents and the secrets of
    /// webhooks, each target of each alias (model, profile, access, guardrail, data retention, quotas), keys, bucket,
    /// queues, rules, runs, alarms, endpoints of a VPC and the permissions of the caller. Prints each finding with its
    /// reason and the command that mends it. docs/doctor.md lists all checks.
    ///
    /// Changes nothing without --fix, which asks before each change, and calls no model without --live.
    ///
    /// Exits with 0 if no check failed, 1 if one did, and 2 if no check of the stack could be made: the credentials, the
    /// region or the network are missing.
    Doctor(cmd::doctor::Args),
    /// Stop taking messages from the inboxes
    ///
    /// Messages wait in the inboxes until `bcce resume`. Runs that are under way continue.
    Pause(cmd::pause::Args),
    /// Resume taking messages from the inboxes
    Resume(cmd::pause::Args),
    /// Check configuration files, compare them with the stack, and write them to it
    #[command(subcommand)]
    Config(Config),
    /// Maintain the price file
    #[command(subcommand)]
    Prices(Prices),
    /// Print the public key that verifies manifests, as PEM
    ///
    /// With the key in a file, `bcce runs verify --public-key FILE` does not call KMS. With --pin, the command writes
    /// the key to the checkout, and `verify` then compares the key in KMS with it.
    ///
    /// To verify downloaded files without AWS, check the signature with
    /// `(echo 'bcce run manifest 1'; cat manifest-1.json) | openssl dgst -sha256 -verify FILE -signature
    /// manifest-1.json.sig`, and each digest that the manifest lists with `sha256sum`. The line before the manifest
    /// contains the `kind` of the manifest: run, item, batch or part.
    Key(cmd::key::Args),
    /// Print a script that completes commands and options in a shell
    ///
    /// For bash, add `source <(bcce completions bash)` to ~/.bashrc. For zsh, write the script to a file `_bcce` in a
    /// directory of `$fpath`, before `compinit`. For fish, write it to ~/.config/fish/completions/bcce.fish. The command
    /// does not need AWS.
    Completions(cmd::completions::Args),
    /// Print the man page of a command, or write those of all commands
    ///
    /// `bcce man --dir DIR` writes them; choose a directory such as ~/.local/share/man/man1, where `man bcce` and
    /// `man bcce-runs-list` find them. With --markdown, the pages are those of docs/reference. The command does not need
    /// AWS.
    Man(cmd::man::Args),
}

#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs, newest first
    ///
    /// Only runs that match all of the filters are listed. If there may be more, the last line on standard error is
    /// `next page: --cursor CURSOR`: the same command with this option prints the next page. One command reads at most
    /// 100,000 records, and says so if older ones were not searched.
    ///
    /// Packed items of batches are not listed: `bcce batch results` prints their run ids. The other commands take these
    /// ids like any other.
    #[command(after_long_help = fields("Prints an array of records, newest first.", &[&records::RUN]))]
    List(cmd::list::Args),
    /// Show a run with its steps, attempts, cost and artifacts
    Show(cmd::show::Args),
    /// Explain the decisions, calls and waits of a run
    ///
    /// Prints a timeline that is read from the run's artifacts. It shows why a run took long, was expensive, called
    /// a certain region, or failed. Each step lists its decisions, with the reason why each target was taken or passed
    /// over, its calls with their outcomes, and its waits. Times count from the start of the run. The last lines
    /// summarize the run. A step that is under way is explained once it ends.
    Explain(cmd::explain::Args),
    /// Follow a run until it ends, and exit with 0 if it succeeded, 1 if not
    Follow(cmd::follow::Args),
    /// Print the log lines of a run, oldest first
    ///
    /// Reads the log groups of all functions, from a quarter of an hour before the start of the run to a quarter of an
    /// hour after its end. A packed item of a batch has the lines of its part and of its batch, too. The lines that
    /// Lambda itself writes, such as those about a function that timed out, do not have the run id and are not printed.
    ///
    /// Log lines are kept for as long as the template parameter LogRetentionDays says.
    Logs(cmd::logs::Args),
    /// Write a page of HTML about a run: where its time and its money went, and why
    ///
    /// The page is one file that needs no network and has no script. It shows the steps, calls and waits drawn to
    /// scale, the decision behind each call, the cost by step with what AWS itself took, the workflow, and what was
    /// verified. It has no prompts and no answers, but messages of services, tags and the request id. Of a run that is
    /// under way, it shows the steps that have ended.
    Report(cmd::report::Args),
    /// Print the answer of a run
    Output(cmd::output::Args),
    /// Start the next run attempt of a run that failed or was cancelled
    ///
    /// The next run attempt uses the plan of the run. Steps that have an answer are not called or paid again, and the
    /// manifest of the run attempt sums only its own calls. A run that was refused before it had a plan is planned
    /// again, with the current configuration. Two retries at the same time start one run attempt. A packed item of a
    /// batch can be retried once its part of the batch is sealed.
    Retry(cmd::retry::Args),
    /// Stop a run, and wait until it is finalized
    ///
    /// Calls that are under way are still answered, paid and listed in the manifest, so this can take a quarter of an
    /// hour. If every step already has an answer, the run has succeeded and the exit code is 1. A packed item of a batch
    /// makes no further call, and is sealed later with its part of the batch.
    Cancel(cmd::cancel::Args),
    /// Finalize a run that stays RUNNING although its execution has ended
    ///
    /// Starts the finalize machine, which seals the run, counts it and sends its notification. Step Functions reports
    /// the end of an execution on a best-effort basis; use this command for a run whose report was lost. Safe to
    /// repeat. A packed item has no execution of its own: `bcce batch finalize` finalizes it with its batch.
    Finalize(cmd::finalize::Args),
    /// Verify the signature and the digests of a run
    ///
    /// Checks that the manifest has the stack's signature, that every artifact has the digest and the size that the
    /// manifest lists, and that every object of the run is listed in the signed manifest of one of its run attempts.
    /// The manifest of a packed item of a batch is proven by the signed root of its part. A text that was erased from
    /// its part is listed and is not a fault. Prints the fingerprint of the key, which `bcce key --pin` keeps. If a check fails, the command prints a line for
    /// each fault and exits with code 1.
    Verify(cmd::verify::Args),
}

#[derive(Debug, Subcommand)]
pub enum Batch {
    /// Send a batch to the inbox and print its id
    ///
    /// SOURCE is an input file (JSON Lines, or CSV whose first row has the names), or an S3 prefix whose objects are
    /// the items. The command first makes the checks that the stack makes. Rejected items are listed, and the other
    /// items run.
    ///
    /// A local file is uploaded to batches/uploads/ in the stack's bucket. An object in another bucket is copied there
    /// with your own permissions. An object below batches/inbox/ or batches/uploads/ of the stack's bucket is used as
    /// it is. The stack itself reads a prefix of another bucket, and must have access to it: see the template parameter
    /// BatchSources.
    ///
    /// The fields of an item are the inputs of the workflow and its `id`, unless --map and --item-id say otherwise.
    /// Without --id, the id is derived from the name and the content of the source and from the other options, so the
    /// same command sent twice is one batch.
    Submit(Box<cmd::batch::submit::Args>),
    /// List batches, newest first
    ///
    /// If there may be more, the last line on standard error is `next page: --cursor CURSOR`: the same command with this
    /// option prints the next page.
    #[command(after_long_help = fields("Prints an array of records, newest first.", &[&records::BATCH]))]
    List(cmd::batch::list::Args),
    /// Show the progress, the speed, the cost and the failures of a batch; with --watch, until it ends
    ///
    /// For a packed batch, `rate` is the number of model calls that it makes at a time now. It makes fewer while a target
    /// throttles.
    Status(cmd::batch::status::Args),
    /// Print one line of JSON for each item, with its status, run, cost and error
    Results(cmd::batch::results::Args),
    /// Print one line of JSON for each item that succeeded, with its answer
    Outputs(cmd::batch::outputs::Args),
    /// Write a page of HTML about a batch: what became of its items, why some failed, and what they took and cost
    ///
    /// The page is one file that needs no network and has no script. It shows the progress, each cause with an example
    /// and what to do, the distribution of times and costs, what AWS itself takes, the slowest and dearest items, and
    /// whether the seal of the batch is right. It has no prompts and no answers, but ids of items, messages of errors
    /// and the request id.
    ///
    /// Times and costs are those of all runs, if they are packed. Of runs with executions of their own, at most 10,000
    /// manifests are read, spread evenly, and the page says so. Of a batch under way, the page shows the progress, and
    /// the runs of its parts that are sealed.
    Report(cmd::batch::report::Args),
    /// Verify the signature of a batch and the digests of its results and outputs
    ///
    /// Verifies also each part of a packed batch: its signature, its digests, and that its root is that of the manifests
    /// of its runs. `bcce runs verify` verifies a single run of a batch with its artifacts.
    Verify(cmd::batch::verify::Args),
    /// Run the items of a batch that failed, were cancelled or were not started
    ///
    /// Starts the next attempt of the batch with the items as they were read. Items that succeeded are not run or paid
    /// again, and rejected items stay rejected. Two retries at the same time start one attempt.
    Retry(cmd::batch::retry::Args),
    /// Stop a batch, and wait until it is finalized
    ///
    /// No further item is started. The answers that its runs already have are kept, paid and listed, so this can take a
    /// quarter of an hour.
    Cancel(cmd::batch::cancel::Args),
    /// Finalize a batch that stays RUNNING although its execution has ended
    ///
    /// Starts the finalize machine, which has the results of the items collected, seals the batch and sends its
    /// notification. Step Functions reports the end of an execution on a best-effort basis; use this command for a
    /// batch whose report was lost. Safe to repeat.
    Finalize(cmd::batch::finalize::Args),
}

#[derive(Debug, Subcommand)]
pub enum Workflows {
    /// List the workflows with their version, models, steps and runs
    ///
    /// The version is the beginning of the digest of the workflow's text. `runs` counts those that were sealed since
    /// yesterday 00:00Z. A workflow that no run can be planned with is listed with the reason.
    List(cmd::workflows::list::Args),
    /// Show a workflow: its inputs, its steps with their models, prompts, outputs and settings, and its limits
    ///
    /// Prompts are described by their size and by what they read. Steps are listed by wave.
    Show(cmd::workflows::show::Args),
    /// Draw the steps of a workflow as Mermaid or SVG
    ///
    /// An arrow leads from a step to each step that needs it. A step with `for_each` is drawn as a stack, or in Mermaid
    /// with a double border. The step whose output is the answer has a thick border.
    Graph(cmd::workflows::graph::Args),
}

#[derive(Debug, Subcommand)]
pub enum Metrics {
    /// Show the cost of a period by workflow, model, tenant, day or another dimension
    ///
    /// The amounts are sums of what the manifests of runs and of parts of batches state, and are exact in JSON and CSV.
    /// A call counts on the UTC day on which it started, once its run or its part of a batch is sealed. Calls whose
    /// usage or price is unknown are listed below the table and are never counted as 0. With --platform, what AWS
    /// charges for these runs besides tokens is added. With --html, a page shows the same with diagrams.
    Cost(cmd::metrics::cost::Args),
    /// Show the tokens of a period by model or another dimension
    Usage(cmd::metrics::usage::Args),
    /// Show the time to the first token and to the whole answer by target or another dimension
    Latency(cmd::metrics::latency::Args),
    /// Show the errors of calls and runs by name and by another dimension
    ///
    /// Without --by, the errors of all calls are counted by name.
    Errors(cmd::metrics::errors::Args),
    /// Advise what to change, from the answers, the caches, the batches and the errors that were measured
    ///
    /// Compares the usage of a period with the documents as they are now, and prints advice: what was measured, why it
    /// matters, and which key of which document to change. The largest amounts of money come first. There is advice
    /// about a `max_tokens` that is far above the answers of its step or cuts them, a prompt cache that is not used or
    /// costs more than it saves, batches that ran on demand and could have run in bulk, and targets that nearly always
    /// fail.
    ///
    /// A step needs 100 answers and a target 20 calls; what has fewer is listed. Advice about money needs at least one
    /// cent. A document applies to every tenant, so the calls of all tenants count. Choose a --period that begins after
    /// the last change of the documents, because earlier calls were made with other values.
    Advice(cmd::metrics::advice::Args),
    /// Compare the ledger with an AWS Cost and Usage Report 2.0, and name each difference
    ///
    /// Compares the tokens of Claude by day, region, model, kind of token, service tier and route, for the days of the
    /// report. The report tells the calls of the stack from those of others if it has IAM principals. Exits with 0 if at
    /// most 0.1 % of the bill is unexplained, and with 1 otherwise.
    Reconcile(cmd::metrics::reconcile::Args),
}

#[derive(Debug, Subcommand)]
pub enum BudgetVerb {
    /// List the budgets, with what is spent and reserved in their current windows
    ///
    /// `lasts` is the time at which a budget is used up if spending goes on as in its window so far. Windows are those
    /// of UTC. The limit of one run or one batch has no window: the worst case is compared with it before the first
    /// call.
    List(cmd::budgets::list::Args),
    /// Show a budget, and which workflows and tenants spent the most in its window
    Show(cmd::budgets::show::Args),
}

#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// List dead letters, oldest first, with the reason of each
    ///
    /// Reading the queue hides its messages from other readers. The command makes them visible again at once; if it is
    /// interrupted, they stay hidden for up to two minutes.
    List(cmd::dlq::list::Args),
    /// Show a dead letter with its body
    Show(cmd::dlq::show::Args),
    /// Send dead letters back to the inbox of their tenant
    ///
    /// Each message keeps its request id, so a dead letter that is sent twice runs once. A message that is not a valid
    /// request returns to the dead-letter queue: correct the cause first, or send a corrected request instead.
    Redrive(cmd::dlq::redrive::Args),
    /// Delete dead letters permanently
    Drop(cmd::dlq::drop::Args),
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check a directory of configuration files, without AWS
    ///
    /// Checks each file as the stack does when it plans a run. Then checks the files against each other: the models
    /// that steps name and what those models accept, the targets that the policy allows, a price for each target that
    /// is valid today, and the workflows and inputs that webhooks start. Hidden files, and files that do not end in
    /// .yaml or .yml, are ignored.
    Validate(cmd::validate::Args),
    /// Show what `config push` would change in the stack
    ///
    /// Lists each document that a push would write: new documents, changed documents with the differences from the
    /// stack's text to the file's, and documents that are broken in the stack, with the cause. Workflows and webhooks
    /// that a push would leave in the stack are listed, but are not differences. Exits as diff does: 0 if nothing would
    /// change, 1 if something would, and 2 if a file is invalid and nothing was compared.
    Diff(cmd::diff::Args),
    /// Check a directory of configuration files and write it to the stack
    ///
    /// Writes nothing if a file is invalid. Does not write documents that are unchanged, and repairs documents that are
    /// broken in the stack. Workflows and webhooks that are not in the directory stay in the stack. An interrupted push
    /// has written whole documents only; push again to write the rest.
    Push(cmd::push::Args),
}

#[derive(Debug, Subcommand)]
pub enum Prices {
    /// Compare prices.yaml with a public catalog, and add the prices that changed, without AWS
    ///
    /// Compares the price of each model that models.yaml calls or prices.yaml lists. A price that changed becomes a new
    /// row from today on; the rows before it stay, because a call has the price of its day. A model is found in the
    /// catalog by its whole id. A price that was written by hand is kept unless --replace names its model. Exits with 1
    /// if rows would be added.
    Import(cmd::prices::import::Args),
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
