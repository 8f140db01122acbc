mod files; // --files NAME PATH...
pub mod inputs; // -i NAME=VALUE

use std::io::Write;
use std::time::Duration;

use bcce_core::base::error::Problems;
use bcce_core::base::json::to_json;
use bcce_core::config::documents::parameter_name;
use bcce_core::config::routing::Retries;
use bcce_core::io::reader::{Read, Reader};
use bcce_core::ports::{GetObject, ListParameters};
use bcce_core::run::plan::{Plan, Sources};
use bcce_core::run::request::{Request, StoredRequest};
use time::macros::format_description;

use self::files::Lists;
use crate::exit::{Exit, Failure, Outcome};
use crate::files::text;
use crate::follow::{Watch, follow_and_print};
use crate::run::Run;
use crate::stack::Stack;
use crate::values::duration;
use crate::world::World;

/// Whoever reaches the inbox of the stack's parameter sends as this tenant.
pub const TENANT: &str = "default";

// A list of files would take a workflow that comes after it for one of them.
#[derive(Debug, clap::Args)]
#[command(override_usage = "bcce submit <WORKFLOW> [OPTIONS]")]
pub struct Args {
    /// Name of the workflow
    workflow: String,
    /// NAME=VALUE, NAME=@FILE, NAME=@- (standard input), or NAME:=JSON for what is no string
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    input: Vec<String>,
    #[command(flatten)]
    files: Lists,
    /// A JSON object of inputs, from a file or - for standard input; --input and --files add to it
    #[arg(long, value_name = "FILE")]
    inputs: Option<String>,
    /// Idempotency key: the same id with the same request runs once
    #[arg(long)]
    id: Option<String>,
    /// Tag for cost and policy
    #[arg(long, value_name = "KEY=VALUE", value_parser = inputs::tag)]
    tag: Vec<(String, String)>,
    /// Model alias that takes the place of every step's own; one that the workflow lists in `request_models`
    #[arg(long, value_name = "ALIAS")]
    model: Option<String>,
    /// Follow the run and exit by its status
    #[arg(long)]
    wait: bool,
    /// With --wait: stop waiting after this long; the run goes on
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration, requires = "wait")]
    timeout: Duration,
    /// Print JSON: what was sent, or with --wait the run's record when it is over
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let (request, problems) = draft(&args, world);
    let stack = match Stack::find(world).await {
        // What is wrong without a stack is reported without one.
        Err(_) if !problems.is_empty() => return Err(wrong(&problems)),
        found => found?,
    };
    let request = checked(&stack, request, problems).await?;
    let body = request.message();
    let stored = StoredRequest::new(request, TENANT, "");
    let before = sent_before(&stack, &stored).await?;
    stack.queues.send(&stack.outputs.inbox_queue_url, &body).await?;
    let run = stored.run();
    if before {
        crate::terminal::note(
            "this request was sent before; this is its run, and it runs once: a new --id runs it again",
        );
    }
    if !args.wait {
        if args.json {
            let sent = serde_json::json!({ "run_id": run.run_id, "request_id": run.request_id });
            writeln!(out, "{sent}")?;
        } else {
            writeln!(out, "{}", run.run_id)?;
        }
        return Ok(Exit::Done);
    }
    let watch = Watch { timeout: args.timeout, sent: true };
    follow_and_print(&stack, world, Run::new(run), watch, args.json, out).await
}

/// Returns the request as it is given, and what is wrong with it in itself.
fn draft(args: &Args, world: &World) -> (Request, Problems) {
    let read = |path: &str| match path {
        "-" => world.standard_input(),
        path => std::fs::read_to_string(path),
    };
    let mut problems = Problems::default();
    let inputs = inputs::collect(args.inputs.as_deref(), &args.input, &args.files, &read, &text);
    let request = Request {
        workflow: args.workflow.clone(),
        // Always one, so that the run's id is known at once.
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

/// `cli-20261101T120000Z-<16 hex>`
fn new_id(world: &World) -> String {
    let at = world.now().format(format_description!("[year][month][day]T[hour][minute][second]Z"));
    format!("cli-{}-{}", at.unwrap_or_default(), world.chance())
}

/// Checks the request for everything that the stack would refuse it for.
async fn checked(stack: &Stack, request: Request, mut problems: Problems) -> Outcome<Request> {
    // A name that is no name is no parameter either.
    if problems.iter().any(|problem| problem.field == "workflow") {
        return Err(wrong(&problems));
    }
    match configuration(stack, &request.workflow).await? {
        Ok(configuration) => {
            let stored = StoredRequest::new(request.clone(), TENANT, "");
            // They change nothing that a plan may be refused for.
            let retries = Retries::default();
            let sources = Sources { request: &stored, configuration: &configuration, retries };
            let refused = Plan::resolve(&sources).err().unwrap_or_default();
            // Inputs that could not be read would be reported as missing.
            let unread = problems.iter().any(|problem| problem.field.starts_with("inputs"));
            let reported = if unread { vec!["inputs".to_owned()] } else { vec![] };
            problems.extend(refused.wrong.beside(&reported));
            problems.extend(refused.forbidden);
            problems.extend(refused.unaffordable);
        }
        Err(configuration) => problems.extend(configuration),
    }
    if problems.is_empty() { Ok(request) } else { Err(wrong(&problems)) }
}

/// Reads the configuration that runs of a workflow are planned with, or returns everything that is wrong with it.
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
        problems.add("workflow", format!("there are: {}", workflows(stack).await?));
    }
    Ok(read)
}

async fn workflows(stack: &Stack) -> Outcome<String> {
    let path = parameter_name(&stack.environment, "workflows");
    let found = stack.parameters.below(&path).await?;
    let names: Vec<&str> = found.keys().filter_map(|name| name.rsplit('/').next()).collect();
    Ok(names.join(", "))
}

/// Returns whether the request was sent before. The same id with another request would be rejected later.
async fn sent_before(stack: &Stack, stored: &StoredRequest) -> Outcome<bool> {
    match stack.store.get(&stored.run().request_key()).await? {
        None => Ok(false),
        Some(body) if body == to_json(stored)? => Ok(true),
        Some(_) => Err(Failure::usage(
            format!(
                "id: {} was used before, for another request of {}",
                stored.request_id, stored.workflow
            ),
            "nothing was sent; give another --id, or none",
        )),
    }
}

pub const NOTHING_SENT: &str = "nothing was sent; mend it and submit again";

pub fn wrong(problems: &Problems) -> Failure {
    let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    let typed = problems.iter().any(|problem| problem.cause.starts_with("must be a"));
    let hint = if typed {
        "; --input NAME:=JSON gives numbers, lists, true and false, --files NAME PATH... a list of files"
    } else {
        ""
    };
    Failure::usage(format!("the request is wrong:{lines}"), format!("{NOTHING_SENT}{hint}"))
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
            "inputs.text: what @ names cannot be read",
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
