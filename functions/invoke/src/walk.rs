//! From target to target: the next at once when one fails.

use std::time::Duration;

use bcce_core::answer::{Stopped, judge, parse_json};
use bcce_core::artifact::{Output, StepArtifact, parse};
use bcce_core::attempt::{Attempt, AttemptKind, Target};
use bcce_core::error::{ErrorName, Fault};
use bcce_core::plan::Plan;
use bcce_core::ports::{CallModel, Clock, GetObject, ModelAnswer, Repair};
use bcce_core::prompt::{Prompt, render};
use bcce_core::template::{OutputType, Step};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::ask::{Asked, Question};
use crate::{Ports, Request};

/// Kept back of the function's time: storing an answer of a megabyte, with the client's retries.
const MARGIN: Duration = Duration::from_secs(15);
/// With less than this left of the run's time, a call is not worth starting.
const SHORTEST: Duration = Duration::from_secs(1);

/// What came of a walk, with every attempt of the step.
pub(crate) enum Walked {
    Answered { attempts: Vec<Attempt>, answer: Answer },
    Exhausted { attempts: Vec<Attempt> },
    Failed { attempts: Vec<Attempt>, error: Fault },
}

pub(crate) struct Answer {
    pub output: Output,
    pub truncated: bool,
    pub stop_reason: String,
    pub prompt_sha256: String,
}

pub(crate) struct Walk<'a, S, M, C> {
    ports: &'a Ports<S, M, C>,
    request: &'a Request,
    plan: &'a Plan,
    step: &'a Step,
    prompt: Prompt,
    /// When the function has to be done with calls.
    until: OffsetDateTime,
    attempts: Vec<Attempt>,
}

/// What one target came to.
enum Turn {
    Answered(Answer),
    NextTarget,
    Failed(Fault),
}

impl<'a, S: GetObject, M: CallModel, C: Clock> Walk<'a, S, M, C> {
    /// Renders the prompt. The inner error is the step's: its template cannot be rendered.
    pub async fn prepare(
        ports: &'a Ports<S, M, C>,
        request: &'a Request,
        plan: &'a Plan,
        remaining: Duration,
    ) -> Result<Result<Self, Fault>, Fault> {
        let id = &request.step.step;
        let step =
            plan.step(id).ok_or_else(|| Fault::internal(format!("the plan has no step {id}")))?;
        let steps = answers(ports, request, step).await?;
        let context = json!({ "inputs": plan.inputs, "steps": steps });
        let until = ports.clock.now() + remaining.saturating_sub(MARGIN);
        let attempts = request.attempts.clone();
        Ok(match render(step.system.as_deref(), &step.prompt, &context) {
            Ok(prompt) => Ok(Self { ports, request, plan, step, prompt, until, attempts }),
            Err(cause) => {
                let message = format!("steps.{id}.prompt: {cause}");
                Err(Fault::new(ErrorName::InvalidRequest, message))
            }
        })
    }

    /// # Errors
    /// `Bcce.Internal`: a fault of ours that another target cannot mend.
    pub async fn along(&mut self, targets: &[Target]) -> Result<Walked, Fault> {
        for (n, target) in targets.iter().enumerate() {
            let Some(time) = self.time(n == 0) else { break };
            match self.turn(target, time).await? {
                Turn::Answered(answer) => {
                    return Ok(Walked::Answered { attempts: self.take(), answer });
                }
                Turn::Failed(error) => return Ok(Walked::Failed { attempts: self.take(), error }),
                Turn::NextTarget => {}
            }
        }
        Ok(Walked::Exhausted { attempts: self.take() })
    }

    fn take(&mut self) -> Vec<Attempt> {
        std::mem::take(&mut self.attempts)
    }

    /// How long the next attempt may take; `None`: the function or the run has no time for one. The
    /// first attempt takes what there is, or a function too short for any would never make one.
    fn time(&self, is_first: bool) -> Option<Duration> {
        let now = self.ports.clock.now();
        let left = |until: OffsetDateTime| Duration::try_from(until - now).unwrap_or_default();
        let route = self.plan.routes.get(&self.request.step.route)?;
        let run = left(self.request.deadline);
        let attempt = Duration::from_secs(route.routing.timeouts.attempt_s).min(run);
        let function = left(self.until);
        (run >= SHORTEST && (is_first || function >= attempt)).then_some(attempt.min(function))
    }

    async fn turn(&mut self, target: &Target, time: Duration) -> Result<Turn, Fault> {
        let (answer, fault) = match self.ask(target, time, None).await? {
            Asked::Answered(answer) => match self.read(&answer)? {
                Ok(read) => return Ok(Turn::Answered(read)),
                Err(fault) => (answer, fault),
            },
            Asked::NextTarget => return Ok(Turn::NextTarget),
            Asked::Failed(error) => return Ok(Turn::Failed(error)),
        };
        self.mark_invalid(&fault);
        let Some(time) = self.time(true) else { return Ok(Turn::Failed(invalid(&fault))) };
        let repair = Repair { answer: &answer.text, fault: &fault };
        match self.ask(target, time, Some(repair)).await? {
            Asked::Answered(answer) => match self.read(&answer)? {
                Ok(read) => Ok(Turn::Answered(read)),
                Err(fault) => {
                    self.mark_invalid(&fault);
                    Ok(Turn::Failed(invalid(&fault)))
                }
            },
            Asked::NextTarget => Ok(Turn::NextTarget),
            Asked::Failed(error) => Ok(Turn::Failed(error)),
        }
    }

    async fn ask(
        &mut self,
        target: &Target,
        time: Duration,
        repair: Option<Repair<'_>>,
    ) -> Result<Asked, Fault> {
        let kind = if repair.is_some() { AttemptKind::Repair } else { AttemptKind::First };
        let question = Question {
            run: &self.request.run,
            plan: self.plan,
            step: self.step,
            route: &self.request.step.route,
            prompt: &self.prompt,
            target,
            time,
            repair,
        };
        let (attempt, asked) = question.ask(&self.ports.model, &self.ports.clock, kind).await;
        self.attempts.push(attempt);
        asked
    }

    /// The output of an answer, or what is wrong with its JSON.
    fn read(&self, answer: &ModelAnswer) -> Result<Result<Answer, String>, Fault> {
        let stopped =
            judge(&answer.stop_reason).map_err(|_| Fault::internal("a failed answer was read"))?;
        let spec = self.step.output.as_ref().filter(|spec| spec.kind == OutputType::Json);
        let json = match spec.map(|spec| parse_json(&answer.text, spec.schema.as_ref())).transpose()
        {
            Ok(json) => json,
            Err(fault) if stopped == Stopped::Truncated => {
                return Ok(Err(format!(
                    "the answer was cut by max_tokens = {}; {fault}",
                    self.step.max_tokens
                )));
            }
            Err(fault) => return Ok(Err(fault)),
        };
        Ok(Ok(Answer {
            output: Output { text: answer.text.clone(), json },
            truncated: stopped == Stopped::Truncated,
            stop_reason: answer.stop_reason.clone(),
            prompt_sha256: self.prompt.sha256(),
        }))
    }

    /// The call was answered and paid, and is no answer.
    fn mark_invalid(&mut self, fault: &str) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.outcome = bcce_core::attempt::AttemptOutcome::Failed;
            attempt.error = Some(ErrorName::OutputInvalid);
            attempt.message = Some(fault.to_owned());
        }
    }
}

fn invalid(fault: &str) -> Fault {
    Fault::new(ErrorName::OutputInvalid, format!("{fault} (asked twice)"))
}

/// What the steps before said, by id.
async fn answers<S: GetObject, M, C>(
    ports: &Ports<S, M, C>,
    request: &Request,
    step: &Step,
) -> Result<Map<String, Value>, Fault> {
    let read = step.needs.iter().map(|need| async move {
        let key = request.run.step_key(need, None);
        let body = ports
            .store
            .get(&key)
            .await?
            .ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
        let artifact: StepArtifact = parse(&key, &body)?;
        Ok((need.clone(), artifact.output.value()))
    });
    futures::future::try_join_all(read).await.map(|answers| answers.into_iter().collect())
}
