//! The `bcce` command, which operates a BCCE stack from a terminal or a script.

mod arguments; // the commands, their options and their help
mod batch; // a batch: its state and its display
mod budgets; // budgets, and what is spent of them
mod cmd; // one file for each command
mod directory; // reads and checks a directory of configuration
mod doctor; // the checks of `bcce doctor`
mod documents; // compares documents with those in the stack
mod estimate; // the estimate of runs that are not started
mod exit; // exit codes, and errors with advice
mod figures; // formats numbers, times and costs
mod files; // reads text files
mod finalizing; // finalizes a run or a batch whose execution has ended
mod follow; // follows a run or a batch until it ends
mod graph; // the steps of a workflow or a run as a drawing
mod json; // prints JSON and documents its fields
mod latest; // lists the records of the last days, newest first
mod letters; // reads and selects dead letters
mod logs; // merges the log lines of a run
mod lookup; // finds runs and batches by name
mod manual; // man pages and the reference of the commands
mod metrics; // usage and costs of a period
mod models; // the targets of the model aliases
mod packed; // the attempts of a run that a batch packed
mod page; // breaks lines at a width
mod paint; // colored lines
mod profiles; // describes the inference profiles of a configuration
mod reconcile; // compares the ledger with the bill
#[cfg(test)]
mod reference; // tests the pages of docs/reference
mod references; // builds references from records of the ledger
mod report; // pages of HTML that one can look at
mod run; // a run: its state and its display
mod screen; // displays a run or a batch while it is followed
mod seal; // verifies signatures and digests
mod secrets; // finds missing secrets of webhooks
mod stack; // finds the deployed stack and its resources
mod terminal; // filters what reaches a terminal
mod tracked; // the common interface of runs and batches
mod values; // parses the values of options and arguments
mod warm; // lets Bedrock compile schemas in advance
mod workflows; // the workflows of a stack or a directory
mod world; // the terminal, the clock, standard input

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;

use arguments::{Batch, BudgetVerb, Cli, Config, Dlq, Metrics, Prices, Runs, Verb, Workflows};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli { environment, verb } = clap::Parser::parse();
    let (world, out) = (world::World::of_this_process(environment), &mut terminal::output());
    let outcome = match verb {
        Verb::Submit(args) => cmd::submit::run(args, &world, out).await,
        Verb::Runs(Runs::List(args)) => cmd::list::run(args, &world, out).await,
        Verb::Runs(Runs::Show(args)) => cmd::show::run(args, &world, out).await,
        Verb::Runs(Runs::Explain(args)) => cmd::explain::run(args, &world, out).await,
        Verb::Runs(Runs::Follow(args)) => cmd::follow::run(args, &world, out).await,
        Verb::Runs(Runs::Report(args)) => cmd::report::run(args, &world, out).await,
        Verb::Runs(Runs::Logs(args)) => cmd::logs::run(args, &world, out).await,
        Verb::Runs(Runs::Output(args)) => cmd::output::run(args, &world, out).await,
        Verb::Runs(Runs::Verify(args)) => cmd::verify::run(args, &world, out).await,
        Verb::Runs(Runs::Retry(args)) => cmd::retry::run(args, &world, out).await,
        Verb::Runs(Runs::Cancel(args)) => cmd::cancel::run(args, &world, out).await,
        Verb::Runs(Runs::Finalize(args)) => cmd::finalize::run(args, &world, out).await,
        Verb::Batch(Batch::Submit(args)) => cmd::batch::submit::run(*args, &world, out).await,
        Verb::Batch(Batch::List(args)) => cmd::batch::list::run(args, &world, out).await,
        Verb::Batch(Batch::Status(args)) => cmd::batch::status::run(args, &world, out).await,
        Verb::Batch(Batch::Results(args)) => cmd::batch::results::run(args, &world, out).await,
        Verb::Batch(Batch::Outputs(args)) => cmd::batch::outputs::run(args, &world, out).await,
        Verb::Batch(Batch::Report(args)) => cmd::batch::report::run(args, &world, out).await,
        Verb::Batch(Batch::Verify(args)) => cmd::batch::verify::run(args, &world, out).await,
        Verb::Batch(Batch::Retry(args)) => cmd::batch::retry::run(args, &world, out).await,
        Verb::Batch(Batch::Cancel(args)) => cmd::batch::cancel::run(args, &world, out).await,
        Verb::Batch(Batch::Finalize(args)) => cmd::batch::finalize::run(args, &world, out).await,
        Verb::Workflows(Workflows::List(args)) => {
            cmd::workflows::list::run(args, &world, out).await
        }
        Verb::Workflows(Workflows::Show(args)) => {
            cmd::workflows::show::run(args, &world, out).await
        }
        Verb::Workflows(Workflows::Graph(args)) => {
            cmd::workflows::graph::run(args, &world, out).await
        }
        Verb::Metrics(Metrics::Cost(args)) => cmd::metrics::cost::run(args, &world, out).await,
        Verb::Metrics(Metrics::Usage(args)) => cmd::metrics::usage::run(args, &world, out).await,
        Verb::Metrics(Metrics::Latency(args)) => {
            cmd::metrics::latency::run(args, &world, out).await
        }
        Verb::Metrics(Metrics::Advice(args)) => cmd::metrics::advice::run(args, &world, out).await,
        Verb::Metrics(Metrics::Reconcile(args)) => {
            cmd::metrics::reconcile::run(args, &world, out).await
        }
        Verb::Metrics(Metrics::Errors(args)) => cmd::metrics::errors::run(args, &world, out).await,
        Verb::Models(args) => cmd::models::run(args, &world, out).await,
        Verb::Budgets(BudgetVerb::List(args)) => cmd::budgets::list::run(args, &world, out).await,
        Verb::Budgets(BudgetVerb::Show(args)) => cmd::budgets::show::run(args, &world, out).await,
        Verb::Dlq(Dlq::List(args)) => cmd::dlq::list::run(args, &world, out).await,
        Verb::Dlq(Dlq::Show(args)) => cmd::dlq::show::run(args, &world, out).await,
        Verb::Dlq(Dlq::Redrive(args)) => cmd::dlq::redrive::run(args, &world, out).await,
        Verb::Dlq(Dlq::Drop(args)) => cmd::dlq::drop::run(args, &world, out).await,
        Verb::Doctor(args) => cmd::doctor::run(args, &world, out).await,
        Verb::Pause(args) => cmd::pause::run(args, false, &world, out).await,
        Verb::Resume(args) => cmd::pause::run(args, true, &world, out).await,
        Verb::Config(Config::Validate(args)) => cmd::validate::run(args, &world, out),
        Verb::Config(Config::Diff(args)) => cmd::diff::run(args, &world, out).await,
        Verb::Config(Config::Push(args)) => cmd::push::run(args, &world, out).await,
        Verb::Prices(Prices::Import(args)) => cmd::prices::import::run(args, &world, out).await,
        Verb::Key(args) => cmd::key::run(args, &world, out).await,
        Verb::Completions(args) => cmd::completions::run(args, Cli::command(), out),
        Verb::Man(args) => cmd::man::run(args, Cli::command(), out),
    };
    // Output that ends without a line break is written only now.
    exit::report(outcome.and_then(|exit| Ok(out.flush().map(|()| exit)?)))
}
