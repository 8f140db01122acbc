mod dry_run; // the plan and the estimate of a request that is not sent
mod files; // parses --files NAME PATH...
pub mod inputs; // parses -i NAME=VALUE

use std::io::Write;
use std::time::Duration;

use bcce_core::base::error::Problems;
use bcce_core::base::json::to_json;
use bcce_core::config::budgets::{Scope, WorstCaseLimit};
use bcce_core::config::routing::Retries;
use bcce_core::io::reader::{Read, Reader};
use bcce_core::ports::GetObject;
use bcce_core::run::plan::{Plan, Sources};
use bcce_core::run::request::{Request, StoredRequest};
use time::macros::format_description;

use self::files::Lists;
use crate::exit::{Exit, Failure, Outcome};
use crate::files::text;
use crate::follow::{Watch, follow_and_print};
use crate::json::{self, Field};
use crate::run::Run;
use crate::stack::Stack;
use crate::values::duration;
use crate::world::World;

/// The tenant of the inbox to which the command sends.
pub const TENANT: &str = "default";

// The usage puts the workflow first, because after `--files` it would be taken for a file.
const JSON_INTRO: &str = "Prints the ids of the request. With --wait, prints the record of the run when it ends, as \
                          `bcce runs follow` does. With --dry-run, prints the other fields.";
/// The fields of a request that was sent.
const SENT: [Field; 2] =
    [("run_id", "id of the run"), ("request_id", "idempotency key of the request")];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields(JSON_INTRO, &[&SENT, &dry_run::FIELDS]))]
#[command(override_usage = "bcce submit <WORKFLOW> [OPTIONS]")]
pub struct Args {
    /// Name of the workflow
    workflow: String,
    /// Input of the workflow: NAME=VALUE, NAME=@FILE, NAME=@- for standard input, or NAME:=JSON for a value that is not
    /// text; can be repeated
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    input: Vec<String>,
    #[command(flatten)]
    files: Lists,
    /// File with a JSON object of inputs, or - for standard input; --input and --files add to it and override it
    #[arg(long, value_name = "FILE")]
    inputs: Option<String>,
    /// Idempotency key of the request; the same request with the same id runs once [default: a new id]
    #[arg(long)]
    id: Option<String>,
    /// Tag of the run, for cost reports and the policy; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = inputs::tag)]
    tag: Vec<(String, String)>,
    /// Model alias for every step, instead of those of the workflow; must be listed in `request_models` of the workflow
    #[arg(long, value_name = "ALIAS")]
    model: Option<String>,
    /// Print the plan, the targets of each step and the estimated cost, and send nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Follow the run until it ends, and exit with 0 if it succeeded, 1 if not
    #[arg(long)]
    wait: bool,
    /// Maximum time to wait with --wait, such as 90s, 30m or 2h; the run continues after it
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration, requires = "wait")]
    timeout: Duration,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let (request, problems) = draft(&args, world);
    let stack = match Stack::find(world).await {
        // Problems that were found without the stack are reported even if the stack cannot be reached.
        Err(_) if !problems.is_empty() => return Err(wrong(&problems)),
        found => found?,
    };
    let checked = checked(&stack, request, problems).await?;
    let body = checked.request.message();
    let stored = StoredRequest::new(checked.request, TENANT, "");
    let before = sent_before(&stack, &stored).await?;
    if args.dry_run {
        let planned = dry_run::Planned { plan: &checked.plan, limits: &checked.limits };
        return dry_run::print(&planned, before, args.json, &stack, world, out).await;
    }
    stack.queues.send(&stack.outputs.inbox_queue_url, &body).await?;
    let run = stored.run();
    if before {
        crate::terminal::note(
            "note: this request was sent before, and this is its run; use a new --id to run it again",
        );
    }
    if !args.wait {
        if args.json {
            let sent = serde_json::json!({ "run_id": run.run_id, "request_id": run.request_id });
            json::print(&sent, out)?;
        } else {
            writeln!(out, "{}", run.run_id)?;
        }
        return Ok(Exit::Done);
    }
    let watch = Watch { timeout: args.timeout, sent: true };
    follow_and_print(&stack, world, Run::new(run), watch, args.json, out).await
}

/// Returns the request as given on the command line, and the problems that can be found without the stack.
fn draft(args: &Args, world: &World) -> (Request, Problems) {
    let read = |path: &str| match path {
        "-" => world.standard_input(),
        path => std::fs::read_to_string(path),
    };
    let mut problems = Problems::default();
    let inputs = inputs::collect(args.inputs.as_deref(), &args.input, &args.files, &read, &text);
    let request = Request {
        workflow: args.workflow.clone(),
        // The request always has an id, so that the run id is known before it is sent.
        id: Some(args.id.clone().unwrap_or_else(|| new_id(world))),
        inputs: inputs.unwrap_or_else(|faults| {
            problems.extend(faults);
            Default::default()
        }),
        tags: args.tag.iter().cloned().collect(),
        model: args.model.clone(),
    };
    if let Err(faults) = Request::parse(&request.message()) {
        problems.extend(faults);
    }
    (request, problems)
}

/// Returns a new request id: `cli-20261101T120000Z-<16 hex digits>`.
fn new_id(world: &World) -> String {
    let at = world.now().format(format_description!("[year][month][day]T[hour][minute][second]Z"));
    format!("cli-{}-{}", at.unwrap_or_default(), world.chance())
}

/// A request that the stack would accept.
struct Checked {
    request: Request,
    plan: Plan,
    limits: Vec<WorstCaseLimit>,
}

/// Makes the checks for which the stack would refuse the request. `problems` are those found before.
async fn checked(stack: &Stack, request: Request, mut problems: Problems) -> Outcome<Checked> {
    // Without a valid name of a workflow there is no parameter to read.
    if problems.iter().any(|problem| problem.field == "workflow") {
        return Err(wrong(&problems));
    }
    match configuration(stack, &request.workflow).await? {
        Ok(configuration) => {
            let stored = StoredRequest::new(request.clone(), TENANT, "");
            // The retries do not affect whether a plan is refused.
            let retries = Retries::default();
            let sources = Sources { request: &stored, configuration: &configuration, retries };
            let planned = Plan::resolve(&sources);
            let refused = match planned {
                Ok(plan) if problems.is_empty() => {
                    let limits = configuration.limits(&Scope::Run);
                    return Ok(Checked { request, plan, limits });
                }
                planned => planned.err().unwrap_or_default(),
            };
            // Inputs that could not be read must not be reported as missing as well.
            let unread = problems.iter().any(|problem| problem.field.starts_with("inputs"));
            let reported = if unread { vec!["inputs".to_owned()] } else { vec![] };
            problems.extend(refused.wrong.except(&reported));
            problems.extend(refused.forbidden);
            problems.extend(refused.unaffordable);
        }
        Err(configuration) => problems.extend(configuration),
    }
    Err(wrong(&problems))
}

/// Reads the configuration for runs of a workflow, or returns all of its problems.
pub async fn configuration(stack: &Stack, workflow: &str) -> Outcome<Read> {
    let source = Reader {
        store: &stack.store,
        parameters: &stack.parameters,
        bucket: &stack.outputs.artifact_bucket,
        environment: &stack.environment,
    };
    let mut read = source.read(workflow).await?;
    if let Err(problems) = &mut read
        && problems.iter().any(|problem| problem.field == "workflow")
    {
        problems
            .add("workflow", format!("the workflows are {}", stack.workflows().await?.join(", ")));
    }
    Ok(read)
}

/// Returns true if the request was sent before.
///
/// # Errors
/// The id was used for another request, which the stack would reject.
async fn sent_before(stack: &Stack, stored: &StoredRequest) -> Outcome<bool> {
    match stack.store.get(&stored.run().request_key()).await? {
        None => Ok(false),
        Some(body) if body == to_json(stored)? => Ok(true),
        Some(_) => Err(Failure::usage(
            format!(
                "id: {} was used before, for another request of {}",
                stored.request_id, stored.workflow
            ),
            "nothing was sent; use another --id, or none",
        )),
    }
}

/// The advice for an invalid request.
pub const NOTHING_SENT: &str = "nothing was sent; correct the request and submit again";

/// Returns the failure for an invalid request, with a line for each problem.
pub fn wrong(problems: &Problems) -> Failure {
    let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    let typed = problems.iter().any(|problem| problem.cause.starts_with("must be a"));
    let hint = if typed {
        "; use --input NAME:=JSON for numbers, lists, true and false, and --files NAME PATH... for a list of files"
    } else {
        ""
    };
    Failure::usage(format!("the request is invalid:{lines}"), format!("{NOTHING_SENT}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World { environment: "dev".into(), terminal: false, color: false }
    }

    fn args(input: &[&str], files: &[&[&str]]) -> Args {
        Args {
            workflow: "explain".into(),
            input: input.iter().map(ToString::to_string).collect(),
            files: Lists(files.iter().map(|list| list.iter().map(Into::into).collect()).collect()),
            inputs: None,
            id: None,
            tag: vec![("run_id".into(), "x".into())],
            model: None,
            dry_run: false,
            wait: false,
            timeout: Duration::ZERO,
            json: false,
        }
    }

    #[test]
    fn faults_of_inputs_and_of_the_request_are_reported_together() {
        let (_, problems) =
            draft(&args(&["text=@/gone"], &[&["code", "/gone/a", "/gone/b"]]), &world());
        let failure = wrong(&problems);
        assert_eq!(failure.exit, Exit::Usage);
        for part in [
            "inputs.text: the file after @ cannot be read",
            "inputs.code: /gone/a cannot be read: No such file",
            "inputs.code: /gone/b cannot be read: No such file",
            "tags.run_id: is set by BCCE itself",
        ] {
            assert!(failure.what.contains(part), "{part} is missing in {}", failure.what);
        }
    }

    #[test]
    fn a_request_without_an_id_gets_a_new_one_each_time() {
        let id = || draft(&args(&["text=t"], &[]), &world()).0.id.unwrap();
        assert!(id().starts_with("cli-2"));
        assert_ne!(id(), id());
    }
}
