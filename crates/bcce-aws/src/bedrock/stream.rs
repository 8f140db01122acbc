//! Assembles an answer from the events of its stream.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_sdk_bedrockruntime::types::{
    CacheTtl, ContentBlockDelta, ConverseStreamMetadataEvent, ConverseStreamOutput,
    GuardrailOrigin, TokenUsage,
};
use bcce_core::base::error::ErrorName;
use bcce_core::base::usage::Usage;
use bcce_core::call::model::{Blame, CallFailure, CallLimits, Limit, Served};

/// The part of an answer that has arrived so far.
pub(super) struct StreamedAnswer {
    pub started: Instant,
    pub first_token: Option<Duration>,
    /// The text of the answer, without reasoning.
    pub text: String,
    /// True if the answer contained reasoning.
    pub thought: bool,
    /// The stop reason. Empty until `messageStop` arrives.
    pub stop_reason: String,
    /// The usage, or `None` if it is unknown, for example because the stream broke off.
    pub usage: Option<Usage>,
    pub served: Served,
}

impl StreamedAnswer {
    /// Returns an empty answer. Its usage is unknown.
    pub fn new(started: Instant) -> Self {
        let (text, stop_reason) = (String::new(), String::new());
        let served = Served::default();
        Self { started, first_token: None, text, thought: false, stop_reason, usage: None, served }
    }

    /// Records that the service refused the call or was not reached, so that the call used no tokens.
    pub fn refused(&mut self) {
        self.usage = Some(Usage::default());
    }

    /// Records that the service accepted the call. From here on, the usage is unknown until the stream's metadata
    /// arrives.
    pub fn accepted(&mut self) {
        self.usage = None;
    }

    /// Adds an event of the stream to the answer.
    pub fn take(&mut self, event: ConverseStreamOutput) {
        match event {
            ConverseStreamOutput::ContentBlockDelta(event) => {
                self.first_token.get_or_insert_with(|| self.started.elapsed());
                match event.delta {
                    Some(ContentBlockDelta::Text(text)) => self.text.push_str(&text),
                    Some(ContentBlockDelta::ReasoningContent(_)) => self.thought = true,
                    _ => {}
                }
            }
            ConverseStreamOutput::MessageStop(event) => {
                self.stop_reason = event.stop_reason.as_str().to_owned();
            }
            ConverseStreamOutput::Metadata(event) => {
                self.usage = event.usage.as_ref().map(usage);
                self.served = served(&event);
            }
            _ => {}
        }
    }

    /// Returns true if `messageStop` has arrived.
    pub fn is_whole(&self) -> bool {
        !self.stop_reason.is_empty()
    }

    /// Returns the time limit for the next event. The first token has its own limit, and reasoning counts as a token.
    pub fn patience(&self, limits: &CallLimits) -> (Limit, Duration) {
        match self.first_token {
            None => {
                let left = limits.first_token.saturating_sub(self.started.elapsed());
                (Limit::FirstToken, left)
            }
            Some(_) => (Limit::Stall, limits.stall),
        }
    }

    /// Checks the answer at the end of the response body.
    ///
    /// # Errors
    /// `Bcce.TargetBroken`: `messageStop` did not arrive, so the answer is incomplete.
    pub fn end(&self) -> Result<(), CallFailure> {
        if self.is_whole() {
            return Ok(());
        }
        let message = "the stream ended without messageStop".to_owned();
        let (name, blame) = (ErrorName::TargetBroken, Blame::Target);
        Err(CallFailure { name, message, advice: None, retry_after_s: None, blame })
    }
}

fn served(event: &ConverseStreamMetadataEvent) -> Served {
    let trace = event.trace.as_ref().and_then(|trace| trace.guardrail.as_ref());
    let inputs = trace.and_then(|trace| trace.input_assessment.as_ref());
    let outputs = trace.and_then(|trace| trace.output_assessments.as_ref());
    let inputs = inputs.into_iter().flat_map(|assessed| assessed.values());
    let outputs = outputs.into_iter().flat_map(|assessed| assessed.values().flatten());
    let applied = inputs.chain(outputs).filter_map(|one| one.applied_guardrail_details.as_ref());
    let origins = applied.flat_map(|details| details.guardrail_origin());
    let origins: BTreeSet<&str> = origins.map(GuardrailOrigin::as_str).collect();
    Served {
        service_tier: event.service_tier.as_ref().map(|tier| tier.r#type.as_str().to_owned()),
        guardrail_origin: origins.into_iter().map(str::to_owned).collect(),
    }
}

fn usage(tokens: &TokenUsage) -> Usage {
    let count = |n: i32| u64::try_from(n).unwrap_or(0);
    let written = count(tokens.cache_write_input_tokens.unwrap_or(0));
    let hour: u64 = tokens
        .cache_details()
        .iter()
        .filter(|detail| *detail.ttl() == CacheTtl::OneHour)
        .map(|detail| count(detail.input_tokens))
        .sum();
    Usage {
        input_tokens: count(tokens.input_tokens),
        output_tokens: count(tokens.output_tokens),
        cache_read_tokens: count(tokens.cache_read_input_tokens.unwrap_or(0)),
        cache_write_5m_tokens: written.saturating_sub(hour),
        cache_write_1h_tokens: hour,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_bedrockruntime::types::{
        AppliedGuardrailDetails, CacheDetail, ContentBlockDeltaEvent, ConverseStreamTrace,
        GuardrailAssessment, GuardrailTraceAssessment, MessageStopEvent,
        ReasoningContentBlockDelta, ServiceTier, ServiceTierType, StopReason,
    };

    fn delta(delta: ContentBlockDelta) -> ConverseStreamOutput {
        let event = ContentBlockDeltaEvent::builder().delta(delta).content_block_index(0).build();
        ConverseStreamOutput::ContentBlockDelta(event.unwrap())
    }

    #[test]
    fn reasoning_is_a_token_but_not_the_answer() {
        let mut answer = StreamedAnswer::new(Instant::now());
        answer.take(delta(ContentBlockDelta::ReasoningContent(ReasoningContentBlockDelta::Text(
            "hm".into(),
        ))));
        assert!(answer.first_token.is_some() && answer.thought);
        answer.take(delta(ContentBlockDelta::Text("Yes.".into())));
        assert_eq!(answer.text, "Yes.");
    }

    #[test]
    fn an_end_without_message_stop_is_broken() {
        let mut answer = StreamedAnswer::new(Instant::now());
        answer.take(delta(ContentBlockDelta::Text("Yes.".into())));
        assert_eq!(answer.end().unwrap_err().name, ErrorName::TargetBroken);
        let stop = MessageStopEvent::builder().stop_reason(StopReason::EndTurn).build().unwrap();
        answer.take(ConverseStreamOutput::MessageStop(stop));
        assert_eq!(answer.end(), Ok(()));
    }

    #[test]
    fn the_metadata_says_how_a_call_was_served() {
        let mut answer = StreamedAnswer::new(Instant::now());
        answer.take(ConverseStreamOutput::Metadata(ConverseStreamMetadataEvent::builder().build()));
        assert_eq!(answer.served, Served::default());
        let tier = ServiceTier::builder().r#type(ServiceTierType::Flex).build().unwrap();
        let assessed = |origins: &[GuardrailOrigin]| {
            let details = AppliedGuardrailDetails::builder();
            let details = details.set_guardrail_origin(Some(origins.to_vec())).build();
            GuardrailAssessment::builder().applied_guardrail_details(details).build()
        };
        use GuardrailOrigin::{AccountEnforced, OrganizationEnforced, Request};
        let trace = GuardrailTraceAssessment::builder()
            .input_assessment("g", assessed(&[Request, AccountEnforced]))
            .output_assessments("g", vec![assessed(&[Request]), assessed(&[OrganizationEnforced])]);
        let trace = ConverseStreamTrace::builder().guardrail(trace.build()).build();
        let event = ConverseStreamMetadataEvent::builder().service_tier(tier).trace(trace).build();
        answer.take(ConverseStreamOutput::Metadata(event));
        assert_eq!(answer.served.service_tier.as_deref(), Some("flex"));
        let origins = ["ACCOUNT_ENFORCED", "ORGANIZATION_ENFORCED", "REQUEST"];
        assert_eq!(answer.served.guardrail_origin, origins);
    }

    #[test]
    fn cache_writes_are_split_by_their_lifetime() {
        let hour = CacheDetail::builder().ttl(CacheTtl::OneHour).input_tokens(40).build().unwrap();
        let tokens = TokenUsage::builder().input_tokens(1).output_tokens(2).total_tokens(3);
        let tokens = tokens.cache_write_input_tokens(100).cache_details(hour).build().unwrap();
        let used = usage(&tokens);
        assert_eq!((used.cache_write_5m_tokens, used.cache_write_1h_tokens), (60, 40));
    }
}
