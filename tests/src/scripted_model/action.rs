//! The actions with which a region can react to a call.

use std::time::Duration;

use super::completion::{Ending, Manner};

/// The action of one region in one call: a row of [`ACTIONS`] with its argument.
#[derive(Clone, Debug)]
pub struct Action {
    pub does: Does,
    pub argument: Argument,
    /// The text of the action in the script, such as `throttle(2)`, for the call log.
    pub written: String,
}

/// The effect of an action.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// Answers with an error of this HTTP status, error code and message. In the message, `{model}` stands for the
    /// model id, `{base}` for it without the prefix of a profile, `{argument}` for the argument of the action, and `{said}` for the
    /// text that the script has the model say.
    Refuse(u16, &'static str, &'static str),
    /// Closes the connection without an answer.
    Reset,
    /// Sends no answer and leaves the connection open.
    Silent,
    /// Answers, after this function has changed the [`Manner`].
    Answer(fn(&mut Manner, Argument)),
}

/// The argument that an action accepts in its parentheses.
#[derive(Clone, Copy)]
enum Takes {
    Nothing,
    /// Optional seconds, sent as `Retry-After`.
    MaybeSeconds,
    MaybeText,
    Number,
    Name,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    None,
    Number(u64),
    Text(String),
}

use Does::{Answer, Refuse};
use Takes::{MaybeSeconds, MaybeText, Name, Nothing, Number};

/// The table of actions. To add an action, add a row here.
#[rustfmt::skip]
const ACTIONS: &[(&str, Takes, Does)] = &[
    ("answer", MaybeText, Answer(|manner, argument| manner.said = argument.text().or(manner.said.take()))),
    ("slow", Number, Answer(|manner, argument| manner.delay = Duration::from_millis(argument.number()))),
    // Sends empty tokens until a test releases the hold: `POST /__release?hold=<text>`.
    ("held", MaybeText, Answer(|manner, argument| manner.hold = Some(argument.text().unwrap_or_default()))),
    ("thinks", Nothing, Answer(|manner, _| manner.thinks = true)),
    ("only-thinks", Nothing, Answer(|manner, _| {
        (manner.thinks, manner.said, manner.stop_reason) = (true, Some(String::new()), "max_tokens");
    })),
    ("cached", Number, Answer(|manner, argument| manner.cached = argument.number())),
    ("writes-5m", Number, Answer(|manner, argument| manner.written_5m = argument.number())),
    ("writes-1h", Number, Answer(|manner, argument| manner.written_1h = argument.number())),
    ("tier", MaybeText, Answer(|manner, argument| manner.service_tier = argument.text())),
    ("enforced", Nothing, Answer(|manner, _| manner.guardrail_origin = vec!["REQUEST", "ACCOUNT_ENFORCED"])),
    ("no-usage", Nothing, Answer(|manner, _| manner.reports_usage = false)),

    // Stop reasons other than `end_turn`.
    ("max-tokens", Nothing, Answer(|manner, _| manner.stop_halfway("max_tokens"))),
    ("filtered", Nothing, Answer(|manner, _| manner.stop_halfway("content_filtered"))),
    ("malformed", Nothing, Answer(|manner, _| manner.stop_halfway("malformed_model_output"))),
    ("context", Nothing, Answer(|manner, _| manner.stop_halfway("model_context_window_exceeded"))),
    ("guardrail", Nothing, Answer(|manner, _| {
        manner.said = Some("Sorry, the scripted guardrail blocked this.".into());
        manner.stop_reason = "guardrail_intervened";
    })),

    // Streams that end abnormally.
    ("stall", Nothing, Answer(|manner, _| manner.ending = Ending::Stall)),
    ("cut", Nothing, Answer(|manner, _| manner.ending = Ending::Cut)),
    ("ends-early", Nothing, Answer(|manner, _| manner.ending = Ending::EndsEarly)),
    ("no-stop", Nothing, Answer(|manner, _| manner.ending = Ending::NoStop)),
    ("bad-crc", Nothing, Answer(|manner, _| manner.ending = Ending::BadCrc)),
    ("stream-throttle", Nothing, Answer(|manner, _| manner.ending = Ending::Exception("throttlingException".into()))),
    ("stream-error", Name, Answer(|manner, argument| manner.ending = Ending::Exception(argument.text().unwrap_or_default()))),
    // Sends the complete answer and then kills the function that called.
    ("kills", Nothing, Answer(|manner, _| manner.ending = Ending::Killed)),

    // No answer at all.
    ("reset", Nothing, Does::Reset),
    ("silent", Nothing, Does::Silent),

    // Errors. Where the product reads the message, it has the wording of Bedrock.
    ("throttle", MaybeSeconds, Refuse(429, "ThrottlingException", "Too many requests, please wait before trying again.")),
    ("too-many-tokens", MaybeSeconds, Refuse(429, "ThrottlingException", "Too many tokens, please wait before trying again.")),
    ("too-many-tokens-per-day", Nothing, Refuse(429, "ThrottlingException", "Too many tokens per day, please wait before trying again.")),
    ("not-ready", MaybeSeconds, Refuse(429, "ModelNotReadyException", "The model is not ready to serve inference requests.")),
    ("unavailable", MaybeSeconds, Refuse(503, "ServiceUnavailableException", "Bedrock is unable to process your request.")),
    ("overloaded", MaybeSeconds, Refuse(529, "overloaded_error", "Overloaded")),
    ("internal", MaybeSeconds, Refuse(500, "InternalServerException", "The system encountered an unexpected error during processing. Try your request again.")),
    ("model-timeout", Nothing, Refuse(408, "ModelTimeoutException", "Model processing took too long.")),
    ("model-error", Nothing, Refuse(424, "ModelErrorException", "The model failed to process the request.")),
    ("quota", MaybeSeconds, Refuse(400, "ServiceQuotaExceededException", "Your request exceeds the service quota for your account.")),
    ("validation", Nothing, Refuse(400, "ValidationException", "The scripted request is not valid.")),
    // The message is what the line `@model says` has.
    ("refused-saying", Nothing, Refuse(400, "ValidationException", "{said}")),
    ("too-long", Nothing, Refuse(400, "ValidationException", "Input is too long for requested model.")),
    ("grammar", Nothing, Refuse(400, "ValidationException", "The compiled grammar is too large, which would cause performance issues. Simplify your tool schemas or reduce the number of strict tools.")),
    ("needs-profile", Nothing, Refuse(400, "ValidationException", "Invocation of model ID {model} with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile that contains this model.")),
    ("not-allowed", Nothing, Refuse(400, "ValidationException", "Operation not allowed")),
    ("no-guardrail", Nothing, Refuse(400, "ValidationException", "The guardrail identifier or version provided in the request does not exist.")),
    ("no-such-action", Nothing, Refuse(400, "ValidationException", "This action doesn\u{2019}t support the model that you provided. Try again with a supported text or chat model.")),
    ("no-tier", Nothing, Refuse(400, "ValidationException", "The requested service tier is not supported for this model.")),
    ("legacy", Nothing, Refuse(404, "ResourceNotFoundException", "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in the last 15 days. Please upgrade to an active model on Amazon Bedrock.")),
    ("retired", Nothing, Refuse(404, "ResourceNotFoundException", "This model version has reached the end of its life. Please refer to the AWS documentation for more details.")),
    ("explicit-deny", Nothing, Refuse(403, "AccessDeniedException", "User: arn:aws:sts::000000000000:assumed-role/invoke/x is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:us-east-2::foundation-model/anthropic.claude with an explicit deny in a service control policy")),
    // The argument is the destination region of the profile that a policy of the organization denies.
    ("denied-in", MaybeText, Refuse(403, "AccessDeniedException", "User: arn:aws:sts::000000000000:assumed-role/invoke/x is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:{argument}::foundation-model/{base} with an explicit deny in a service control policy")),
    ("no-subscription", Nothing, Refuse(403, "AccessDeniedException", "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this model. Refer to the Amazon Bedrock documentation for further details. Your AWS Marketplace subscription for this model cannot be completed at this time.")),
    ("denied", Nothing, Refuse(403, "AccessDeniedException", "You don't have access to the model with the specified model ID.")),
    ("agreement-pending", Nothing, Refuse(403, "MPAgreementBeingCreated", "Your account is not authorized to access this model. Your AWS Marketplace subscription for this model is still being processed.")),
    ("not-found", Nothing, Refuse(404, "ResourceNotFoundException", "The model {model} was not found.")),
    // The argument is part of the message. `\n` stands for a line end.
    ("says-no", MaybeText, Refuse(404, "ResourceNotFoundException", "The model was not found: {argument}")),
    ("form-not-filled", Nothing, Refuse(404, "ResourceNotFoundException", "Model use case details have not been submitted for this account. Fill out the Anthropic use case details form before using the model. If you have already filled out the form, try again in 15 minutes.")),
    ("not-authorized", Nothing, Refuse(400, "NotAuthorized", "You do not have permission to perform this action.")),
    ("expired", Nothing, Refuse(400, "RequestExpired", "The request reached the service too late.")),
];

impl Action {
    /// Parses `name` or `name(argument)`.
    ///
    /// # Errors
    /// A sentence for the author of the script.
    pub fn parse(written: &str) -> Result<Self, String> {
        let (name, argument) = match written.split_once('(') {
            None => (written, None),
            Some((name, rest)) => {
                let argument = rest.strip_suffix(')').filter(|rest| !rest.contains(['(', ')']));
                let argument = argument.ok_or(format!("unbalanced parentheses in `{written}`"))?;
                (name, Some(argument.trim()))
            }
        };
        let (_, takes, does) =
            ACTIONS.iter().find(|(known, ..)| *known == name).ok_or_else(|| {
                format!("unknown action `{name}`, expected one of: {}", known_actions())
            })?;
        Ok(Self { does: *does, argument: takes.read(name, argument)?, written: written.to_owned() })
    }

    /// Returns the default action, `answer`.
    pub fn answer() -> Self {
        Self::parse("answer").expect("`answer` is in the table")
    }
}

fn known_actions() -> String {
    let names: Vec<&str> = ACTIONS.iter().map(|(name, ..)| *name).collect();
    names.join(", ")
}

impl Takes {
    fn read(self, name: &str, argument: Option<&str>) -> Result<Argument, String> {
        let number = |text: &str| text.parse().map(Argument::Number).ok();
        let read = match (self, argument) {
            (Nothing | MaybeSeconds | MaybeText, None) => Some(Argument::None),
            (MaybeSeconds | Number, Some(text)) => number(text),
            (MaybeText, Some(text)) => Some(Argument::Text(text.to_owned())),
            (Name, Some(text)) if is_lower_camel(text) => Some(Argument::Text(text.to_owned())),
            (Nothing | Name, Some(_)) | (Number | Name, None) => None,
        };
        read.ok_or_else(|| format!("`{name}` takes {}", self.wants()))
    }

    fn wants(self) -> &'static str {
        match self {
            Nothing => "no argument",
            MaybeSeconds => "whole seconds or nothing: (2)",
            MaybeText => "a text without commas and parentheses, or nothing",
            Number => "a whole number: (500)",
            Name => "the lower-camel name of an exception: (modelStreamErrorException)",
        }
    }
}

/// Returns true if the text has the form of the name of an exception inside a stream.
fn is_lower_camel(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

impl Argument {
    pub fn seconds(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn number(self) -> u64 {
        self.seconds().unwrap_or_default()
    }

    pub fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_in_the_table_once() {
        for (at, (name, ..)) in ACTIONS.iter().enumerate() {
            let first = ACTIONS.iter().position(|(other, ..)| other == name);
            assert_eq!(first, Some(at), "{name}");
        }
    }

    #[test]
    fn an_argument_is_read_in_the_form_of_its_action() {
        assert_eq!(Action::parse("throttle(2)").unwrap().argument, Argument::Number(2));
        assert_eq!(Action::parse("throttle").unwrap().argument, Argument::None);
        let text = Action::parse("answer(not json)").unwrap().argument;
        assert_eq!(text, Argument::Text("not json".into()));
    }

    #[test]
    fn a_mistake_is_named() {
        for (written, named) in [
            ("trottle", "unknown action `trottle`, expected one of: answer, slow"),
            ("Throttle", "unknown action `Throttle`"),
            ("throttle(soon)", "`throttle` takes whole seconds"),
            ("slow", "`slow` takes a whole number"),
            ("cut(1)", "`cut` takes no argument"),
            ("stream-error(ThrottlingException)", "`stream-error` takes the lower-camel name"),
            ("answer(a", "unbalanced parentheses in `answer(a`"),
            ("", "unknown action ``"),
        ] {
            let error = Action::parse(written).unwrap_err();
            assert!(error.contains(named), "{written}: {error}");
        }
    }
}
