//! Calls models through ConverseStream. The SDK's retries are off: three silent tries on a dead region cost more than a
//! second, and the failover router decides which target is called next.

mod errors; // SDK errors, as failures of a call
mod stream; // the answer, assembled from the events of its stream

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::{Builder, Region, StalledStreamProtectionConfig};
use aws_sdk_bedrockruntime::operation::converse_stream::builders::ConverseStreamFluentBuilder;
use aws_sdk_bedrockruntime::types::{
    CachePointBlock, CachePointType, CacheTtl, ContentBlock, ConversationRole,
    GuardrailStreamConfiguration, GuardrailTrace, InferenceConfiguration, JsonSchemaDefinition,
    Message, OutputConfig, OutputFormat, OutputFormatStructure, OutputFormatType,
    SystemContentBlock,
};
use aws_smithy_types::Document;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use bcce_core::base::error::ErrorName;
use bcce_core::call::cache_points::{Block, Blocks};
use bcce_core::call::model::{Blame, CallFailure, CallReport, Limit, ModelAnswer, ModelCall};
use bcce_core::call::parameters::Parameters;
use bcce_core::config::cache::CacheTtl as Lasts;
use bcce_core::config::template::Thinking;
use bcce_core::ports::CallModel;
use time::OffsetDateTime;
use tokio::time::timeout;

use stream::StreamedAnswer;

/// The longest wait for a connection. A region that takes longer counts as unavailable.
const CONNECT: Duration = Duration::from_secs(3);

/// The Bedrock runtime of every region. Implements [`CallModel`] with one client for each region.
pub struct Bedrock {
    config: SdkConfig,
    /// The endpoint, in which `{region}` stands for the region. `None` selects AWS's own endpoint.
    endpoint: Option<String>,
    clients: RefCell<HashMap<String, Client>>,
}

impl Bedrock {
    /// Creates the adapter. `endpoint` replaces AWS's own endpoint. `{region}` in it stands for the region of a call.
    pub fn new(config: &SdkConfig, endpoint: Option<String>) -> Self {
        Self { config: config.clone(), endpoint, clients: RefCell::default() }
    }

    fn client(&self, region: &str) -> Client {
        let mut clients = self.clients.borrow_mut();
        clients.entry(region.to_owned()).or_insert_with(|| self.connect(region)).clone()
    }

    fn connect(&self, region: &str) -> Client {
        let mut config = Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts())
            // A model that thinks sends nothing for a while. The limits of the call bound that time.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(endpoint) = &self.endpoint {
            // The SDK refuses a client that is given an endpoint and FIPS.
            config = config.endpoint_url(endpoint.replace("{region}", region)).use_fips(false);
        }
        Client::from_conf(config.build())
    }

    async fn receive(
        &self,
        call: &ModelCall<'_>,
        answer: &mut StreamedAnswer,
    ) -> Result<(), CallFailure> {
        let request = request(&self.client(&call.target.region), call)?;
        let sent = timeout(call.limits.first_token, request.send()).await;
        let response =
            sent.map_err(|_| silent("no answer", Limit::FirstToken, call.limits.first_token))?;
        let mut stream = response
            .map_err(|error| errors::refused(&error, answer, OffsetDateTime::now_utc()))?
            .stream;
        answer.accepted();
        loop {
            let (limit, patience) = answer.patience(&call.limits);
            match timeout(patience, stream.recv()).await {
                Ok(Ok(Some(event))) => answer.take(event),
                Ok(Ok(None)) => return answer.end(),
                // The answer is complete. Only the metadata with its usage is missing.
                _ if answer.is_whole() => return Ok(()),
                Ok(Err(error)) => {
                    return Err(errors::broken_off(&error, OffsetDateTime::now_utc()));
                }
                Err(_) => return Err(silent("no token", limit, patience)),
            }
        }
    }
}

impl CallModel for Bedrock {
    async fn call(&self, call: &ModelCall<'_>) -> CallReport {
        let started = Instant::now();
        let mut answer = StreamedAnswer::new(started);
        let whole = timeout(call.limits.attempt, self.receive(call, &mut answer)).await;
        let result = match whole {
            Ok(result) => result,
            Err(_) if answer.is_whole() => Ok(()),
            Err(_) => Err(silent("no complete answer", Limit::Attempt, call.limits.attempt)),
        };
        CallReport {
            latency: started.elapsed(),
            first_token: answer.first_token,
            usage: answer.usage,
            served: answer.served,
            result: result.map(|()| ModelAnswer {
                text: answer.text,
                stop_reason: answer.stop_reason,
                thought: answer.thought,
            }),
        }
    }
}

/// Returns the SDK's time limits, all disabled but the one for the connection: the limits of the call apply instead. A
/// limit that is not disabled here would come from the configuration of the other clients, whose calls take seconds.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .disable_read_timeout()
        .disable_operation_timeout()
        .disable_operation_attempt_timeout()
        .build()
}

fn silent(what: &str, limit: Limit, waited: Duration) -> CallFailure {
    let message = format!("{what} within {:.1} s", waited.as_secs_f32());
    let blame = Blame::Limit(limit);
    CallFailure {
        name: ErrorName::TargetTimeout,
        message,
        advice: None,
        retry_after_s: None,
        blame,
    }
}

fn request(
    client: &Client,
    call: &ModelCall<'_>,
) -> Result<ConverseStreamFluentBuilder, CallFailure> {
    let parameters = call.parameters;
    let blocks = Blocks::of(call.prompt, call.cache.is_some());
    let max_tokens = i32::try_from(parameters.max_tokens).unwrap_or(i32::MAX);
    let inference = InferenceConfiguration::builder()
        .max_tokens(max_tokens)
        .set_temperature(parameters.temperature);
    Ok(client
        .converse_stream()
        .model_id(&call.target.model_id)
        .set_system(system(&blocks.system, call.cache)?)
        .set_messages(Some(messages(call, &blocks.user)?))
        .inference_config(inference.build())
        .set_output_config(output(call)?)
        .set_additional_model_request_fields(parameters.thinking.map(thinking))
        .set_guardrail_config(guardrail(call)?)
        .set_request_metadata(Some(call.metadata.clone().into_iter().collect())))
}

/// Returns the system prompt with its cache points, or `None` if there is none.
fn system(
    blocks: &[Block<'_>],
    lasts: Option<Lasts>,
) -> Result<Option<Vec<SystemContentBlock>>, CallFailure> {
    let block = |block: &Block<'_>| match block {
        Block::Text(text) => Ok(SystemContentBlock::Text((*text).to_owned())),
        Block::CachePoint => cache_point(lasts).map(SystemContentBlock::CachePoint),
    };
    let blocks = blocks.iter().map(block).collect::<Result<Vec<_>, _>>()?;
    Ok((!blocks.is_empty()).then_some(blocks))
}

fn cache_point(lasts: Option<Lasts>) -> Result<CachePointBlock, CallFailure> {
    let lasts = lasts.map(|lasts| match lasts {
        Lasts::FiveMinutes => CacheTtl::FiveMinutes,
        Lasts::Hour => CacheTtl::OneHour,
    });
    let point = CachePointBlock::builder().r#type(CachePointType::Default).set_ttl(lasts);
    point.build().map_err(|e| unbuilt(&e))
}

fn messages(call: &ModelCall<'_>, user: &[Block<'_>]) -> Result<Vec<Message>, CallFailure> {
    let block = |block: &Block<'_>| match block {
        Block::Text(text) => Ok(ContentBlock::Text((*text).to_owned())),
        Block::CachePoint => cache_point(call.cache).map(ContentBlock::CachePoint),
    };
    let user = user.iter().map(block).collect::<Result<Vec<_>, _>>()?;
    let first = Message::builder().role(ConversationRole::User).set_content(Some(user)).build();
    let mut messages = vec![first.map_err(|e| unbuilt(&e))?];
    if let Some(repair) = call.repair {
        let correction = format!(
            "That does not fit the schema: {}. Answer again with the corrected JSON and nothing else.",
            repair.fault
        );
        messages.push(message(ConversationRole::Assistant, repair.answer)?);
        messages.push(message(ConversationRole::User, &correction)?);
    }
    Ok(messages)
}

fn message(role: ConversationRole, text: &str) -> Result<Message, CallFailure> {
    let content = ContentBlock::Text(text.to_owned());
    Message::builder().role(role).content(content).build().map_err(|e| unbuilt(&e))
}

fn output(call: &ModelCall<'_>) -> Result<Option<OutputConfig>, CallFailure> {
    let Parameters { effort, schema, .. } = call.parameters;
    if effort.is_none() && schema.is_none() {
        return Ok(None);
    }
    let format = schema.as_ref().map(|schema| {
        let schema =
            JsonSchemaDefinition::builder().schema(schema.to_string()).name("answer").build();
        let schema = OutputFormatStructure::JsonSchema(schema.map_err(|e| unbuilt(&e))?);
        let format = OutputFormat::builder().r#type(OutputFormatType::JsonSchema).structure(schema);
        format.build().map_err(|e| unbuilt(&e))
    });
    let output = OutputConfig::builder().set_effort(effort.map(str::to_owned));
    Ok(Some(output.set_text_format(format.transpose()?).build()))
}

/// Returns the model-specific parameter for thinking. Converse has no field for it.
fn thinking(wanted: Thinking) -> Document {
    let object = |name: &str, value| Document::Object([(name.to_owned(), value)].into());
    object("thinking", object("type", Document::String(wanted.kind().to_owned())))
}

fn guardrail(call: &ModelCall<'_>) -> Result<Option<GuardrailStreamConfiguration>, CallFailure> {
    let Some(guardrail) = &call.target.guardrail else { return Ok(None) };
    let config = GuardrailStreamConfiguration::builder().guardrail_identifier(&guardrail.id);
    // The trace names the guardrails that were applied. The text that it quotes is not stored.
    let config = config.guardrail_version(&guardrail.version).trace(GuardrailTrace::Enabled);
    Ok(Some(config.build()))
}

fn unbuilt(error: &aws_smithy_types::error::operation::BuildError) -> CallFailure {
    let (name, blame) = (ErrorName::Internal, Blame::Request);
    CallFailure { name, message: error.to_string(), advice: None, retry_after_s: None, blame }
}

#[cfg(test)]
mod tests;
