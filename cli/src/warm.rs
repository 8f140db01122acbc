//! Lets Bedrock compile the schemas of workflows in advance, so that no run waits for it.

use std::io::Write;
use std::time::Duration;

use bcce_aws::bedrock::Bedrock;
use bcce_core::call::grammars::Grammar;
use bcce_core::call::model::{CallLimits, CallReport, ModelCall};
use bcce_core::ports::CallModel;
use futures::StreamExt;

use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::paint::one_line;
use crate::stack::Stack;
use crate::world::World;

/// The timeout of a call. Bedrock may compile a schema for minutes, and sends nothing meanwhile.
const PATIENCE: Duration = Duration::from_secs(300);
/// The number of calls at a time. It is small because each call counts against the account's quota.
const AT_A_TIME: usize = 4;

/// Calls each target once for each schema with the permissions of the caller, and prints the result. Returns
/// [`Exit::Failed`] if a schema could not be compiled. If it failed, the first run that needs the schema makes Bedrock
/// compile it.
pub async fn warm(
    stack: &Stack,
    world: &World,
    grammars: &[Grammar<'_>],
    out: &mut dyn Write,
) -> Outcome {
    let endpoint = stack.outputs.bedrock_endpoint_url.clone().filter(|url| !url.is_empty());
    let bedrock = Bedrock::new(&world.sdk_config().await?, endpoint);
    let calls = grammars.iter().map(async |grammar| (grammar, call(&bedrock, grammar).await));
    let mut calls = futures::stream::iter(calls).buffered(AT_A_TIME);
    let mut exit = Exit::Done;
    while let Some((grammar, report)) = calls.next().await {
        writeln!(out, "{}", line(grammar, &report))?;
        if report.result.is_err() {
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

async fn call(bedrock: &Bedrock, grammar: &Grammar<'_>) -> CallReport {
    let metadata = [("workflow", grammar.workflow), ("step", &grammar.step.id)];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let call = ModelCall {
        target: grammar.target,
        prompt: &grammar.prompt(),
        repair: None,
        parameters: &grammar.parameters,
        cache: None,
        metadata: metadata.into(),
        limits: CallLimits { first_token: PATIENCE, stall: PATIENCE, attempt: PATIENCE },
    };
    bedrock.call(&call).await
}

fn line(grammar: &Grammar<'_>, report: &CallReport) -> String {
    let Grammar { workflow, step, target, .. } = grammar;
    let place = format!("schema of {workflow}.{} on {target}", step.id);
    match &report.result {
        Ok(_) => {
            let took = figures::milliseconds(report.latency.as_millis() as u64);
            format!("  compiled   {place}, in {took}")
        }
        Err(failure) => {
            let advice = failure.advice.as_ref().map(|advice| format!("; to do: {advice}"));
            let advice = advice.unwrap_or_default();
            let text = format!("{place}: {}: {}{advice}", failure.name, failure.message);
            format!("  failed     {}", one_line(&text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::base::error::ErrorName;
    use bcce_core::base::target::Target;
    use bcce_core::call::model::{Blame, CallFailure, ModelAnswer, Served};
    use bcce_core::call::parameters::Parameters;
    use bcce_core::config::template::Template;

    fn text(result: Result<ModelAnswer, CallFailure>) -> String {
        let yaml = "version: 1\nname: w\nsteps:\n- { id: a, model: m, prompt: p }\n";
        let template = Template::parse(yaml).unwrap();
        let (region, model_id) = ("us-east-1".into(), "us.m".into());
        let target = Target { account: None, region, model_id, guardrail: None };
        let grammar = Grammar {
            workflow: "w",
            step: &template.steps[0],
            target: &target,
            parameters: Parameters::default(),
        };
        let latency = Duration::from_millis(1_200);
        let served = Served::default();
        line(&grammar, &CallReport { result, latency, first_token: None, usage: None, served })
    }

    #[test]
    fn a_message_of_the_service_forges_no_line() {
        let text = text(Err(CallFailure {
            name: ErrorName::TargetRejected,
            message: "no\n  compiled   schema of w.a".into(),
            advice: Some("x\n  compiled   schema of w.b".into()),
            retry_after_s: None,
            blame: Blame::Target,
        }));
        assert!(text.contains("schema of w.b"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn a_line_says_what_came_of_a_schema_and_what_to_do() {
        let answer =
            ModelAnswer { text: "{}".into(), stop_reason: "end_turn".into(), thought: false };
        assert_eq!(text(Ok(answer)), "  compiled   schema of w.a on us.m in us-east-1, in 1.2 s");
        let failure = CallFailure {
            name: ErrorName::TargetRejected,
            message: "AccessDeniedException (403): no".into(),
            advice: Some("subscribe to the model".into()),
            retry_after_s: None,
            blame: Blame::Target,
        };
        assert_eq!(
            text(Err(failure)),
            "  failed     schema of w.a on us.m in us-east-1: Bcce.TargetRejected: AccessDeniedException (403): no; to do: subscribe to the model"
        );
    }
}
