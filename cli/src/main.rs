//! `bcce`: everyday work with BCCE from a terminal or a script.

mod arguments; // what the command line takes
mod batch; // what is known of a batch
mod cmd; // a file per verb
mod directory; // a directory of configuration, checked
mod documents; // the configuration as the stack keeps it
mod exit; // exit codes, and errors that say what to do
mod figures; // numbers, times and sizes as people read them
mod files; // files as text
mod follow; // follows a run or a batch until it is over
mod latest; // lists records of the last days, newest first
mod letters; // dead letters: whose they are, why, which are meant
mod paint; // ANSI, where it is wanted
mod references; // references of recorded attempts
mod run; // what is known of a run
mod screen; // how what is followed is shown
mod seal; // signature and digests of a run
mod secrets; // of webhooks, named and never read
mod stack; // the deployed parts, by the one parameter that names them
mod terminal; // what a terminal gets to see of foreign text
mod tracked; // what a run and a batch have in common
mod values; // values of options and arguments
mod warm; // schemas compiled before a run needs them
mod world; // terminal, clock, standard input

use std::process::ExitCode;

use arguments::{Batch, Cli, Config, Dlq, Runs, Verb};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli { environment, verb } = clap::Parser::parse();
    let (world, out) = (world::World::of_this_process(environment), &mut terminal::output());
    exit::report(match verb {
        Verb::Submit(args) => cmd::submit::run(args, &world, out).await,
        Verb::Runs(Runs::List(args)) => cmd::list::run(args, &world, out).await,
        Verb::Runs(Runs::Show(args)) => cmd::show::run(args, &world, out).await,
        Verb::Runs(Runs::Explain(args)) => cmd::explain::run(args, &world, out).await,
        Verb::Runs(Runs::Follow(args)) => cmd::follow::run(args, &world, out).await,
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
        Verb::Batch(Batch::Verify(args)) => cmd::batch::verify::run(args, &world, out).await,
        Verb::Batch(Batch::Retry(args)) => cmd::batch::retry::run(args, &world, out).await,
        Verb::Batch(Batch::Cancel(args)) => cmd::batch::cancel::run(args, &world, out).await,
        Verb::Batch(Batch::Finalize(args)) => cmd::batch::finalize::run(args, &world, out).await,
        Verb::Dlq(Dlq::List(args)) => cmd::dlq::list::run(args, &world, out).await,
        Verb::Dlq(Dlq::Show(args)) => cmd::dlq::show::run(args, &world, out).await,
        Verb::Dlq(Dlq::Redrive(args)) => cmd::dlq::redrive::run(args, &world, out).await,
        Verb::Dlq(Dlq::Drop(args)) => cmd::dlq::drop::run(args, &world, out).await,
        Verb::Pause(args) => cmd::pause::run(args, false, &world, out).await,
        Verb::Resume(args) => cmd::pause::run(args, true, &world, out).await,
        Verb::Config(Config::Validate(args)) => cmd::validate::run(args, &world, out),
        Verb::Config(Config::Diff(args)) => cmd::diff::run(args, &world, out).await,
        Verb::Config(Config::Push(args)) => cmd::push::run(args, &world, out).await,
        Verb::Key(args) => cmd::key::run(args, &world, out).await,
    })
}
