//! A webhook source: its provider, secrets and rules.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::error::Problems;
use crate::base::limits::MAX_TAGS;
use crate::base::names::{check_name, check_tag};
use crate::document::{Document, expression};

/// The names that rules may read.
const NAMES: [&str; 2] = ["event", "body"];

/// The document `webhooks/<source>.yaml`, in SSM `/bcce/<env>/webhooks/<source>`. It defines who may call
/// `/hooks/<source>`, and the runs that a call starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub version: u32,
    pub provider: Provider,
    /// The names of the secrets; each one is the SecureString `/bcce/<env>/secrets/<name>`. List the old and the new
    /// secret while you replace a secret.
    pub secrets: Vec<String>,
    /// The tenant whose inbox receives the requests. The default is the tenant `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The signature scheme of the provider `hmac`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Scheme>,
    /// The id of an event of the provider `hmac`, as a text with `{{ }}`. The default is the digest of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    pub rules: Vec<Rule>,
}

/// The provider of a webhook, which determines the signature scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    Github,
    Slack,
    Stripe,
    /// <https://www.standardwebhooks.com>, version 1.
    StandardWebhooks,
    /// Any other provider that signs the body with HMAC. [`Source::signature`] describes the scheme.
    Hmac,
}

/// The scheme of a signature that is an HMAC over the raw body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheme {
    /// The name of the header with the signature, in upper or lower case.
    pub header: String,
    /// The text before the signature in the header, such as `sha256=`.
    #[serde(default)]
    pub prefix: String,
    #[serde(default)]
    pub encoding: Encoding,
    #[serde(default)]
    pub algorithm: Algorithm,
}

/// The encoding of a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// The hash function of an HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    #[default]
    Sha256,
    Sha512,
}

impl Algorithm {
    /// Returns the length of a signature, in bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl Scheme {
    /// Returns the scheme of GitHub: `X-Hub-Signature-256: sha256=<hex>`.
    pub fn github() -> Self {
        Self {
            header: "x-hub-signature-256".to_owned(),
            prefix: "sha256=".to_owned(),
            encoding: Encoding::Hex,
            algorithm: Algorithm::Sha256,
        }
    }
}

/// A rule that starts a workflow for an event. If several rules for one workflow match, the first one applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The id of the rule, which messages use.
    pub id: String,
    /// A condition over `event` and `body`. Without a condition every event matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    pub workflow: String,
    /// The inputs of the request. A text may contain `{{ }}`. A text that is one `{{ }}` and nothing else keeps the
    /// type of its value.
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
    /// The tags of the request. A text may contain `{{ }}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// The largest number of secrets of a source. A provider signs once for each secret.
const MAX_SECRETS: usize = 5;
const MAX_RULES: usize = 50;
const MAX_TENANT_CHARS: usize = 20;

impl Document for Source {
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.version == 1, "version", "must be 1");
        let cause = format!("must be 1 to {MAX_SECRETS}, there are {}", self.secrets.len());
        problems.check((1..=MAX_SECRETS).contains(&self.secrets.len()), "secrets", cause);
        for (n, secret) in self.secrets.iter().enumerate() {
            check_name(&mut problems, &format!("secrets[{n}]"), secret);
        }
        if let Some(tenant) = &self.tenant {
            // The same rule as in infra/tenant.yaml. A source of the default tenant has no `tenant`.
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            let named = (1..=MAX_TENANT_CHARS).contains(&tenant.len()) && tenant.bytes().all(plain);
            let cause = "must be the name of a tenant's stack; leave it out for the default tenant";
            problems.check(named && tenant != "default", "tenant", cause);
        }
        problems.extend(self.check_provider());
        let cause = format!("must be at most {MAX_RULES}, there are {}", self.rules.len());
        problems.check(self.rules.len() <= MAX_RULES, "rules", cause);
        let mut ids = BTreeSet::new();
        for rule in &self.rules {
            let field = format!("rules.{}", rule.id);
            problems.check(ids.insert(&rule.id), field.as_str(), "is the id of two rules");
            rule.check(&mut problems, &field);
        }
        problems
    }
}

impl Source {
    fn check_provider(&self) -> Problems {
        let mut problems = Problems::default();
        let is_plain = self.provider == Provider::Hmac;
        let own = "is determined by the provider; set it only for `provider: hmac`";
        match &self.signature {
            Some(_) if !is_plain => problems.add("signature", own),
            None if is_plain => {
                problems.add("signature", "is missing: name the header with the HMAC")
            }
            Some(scheme) => {
                let is_token = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
                let plain = !scheme.header.is_empty() && scheme.header.bytes().all(is_token);
                problems.check(plain, "signature.header", "must be the name of a header");
            }
            None => {}
        }
        if let Some(id) = &self.event_id {
            problems.check(is_plain, "event_id", own);
            expression::check_text(id, &NAMES)
                .unwrap_or_else(|cause| problems.add("event_id", cause));
        }
        problems
    }
}

impl Rule {
    fn check(&self, problems: &mut Problems, field: &str) {
        check_name(problems, &format!("{field}.id"), &self.id);
        check_name(problems, &format!("{field}.workflow"), &self.workflow);
        if let Some(model) = &self.model {
            check_name(problems, &format!("{field}.model"), model);
        }
        if let Some(Err(cause)) =
            self.when.as_deref().map(|when| expression::check_condition(when, &NAMES))
        {
            problems.add(format!("{field}.when"), cause);
        }
        let cause = format!("must be at most {MAX_TAGS}, there are {}", self.tags.len());
        problems.check(self.tags.len() <= MAX_TAGS, format!("{field}.tags"), cause);
        for (name, text) in &self.tags {
            if let Err(cause) = expression::check_text(text, &NAMES) {
                problems.add(format!("{field}.tags.{name}"), cause);
            }
            // The value of `{{ }}` is not known before there is an event.
            let value = if text.contains("{{") { "" } else { text };
            let mut tag = Problems::default();
            check_tag(&mut tag, name, value);
            problems.extend(tag.below(field));
        }
        for (name, value) in &self.inputs {
            let field = format!("{field}.inputs.{name}");
            expression::check_value(value, &NAMES, &field, problems);
        }
    }
}
