//! Reads the sources that may call, with a cache.
//!
//! The Function URL is public, and SSM answers 40 requests a second for a whole account. So each reading is used for
//! [`FRESH`], and a call to a name that is not listed causes no further reading.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bcce_core::base::error::{Fault, Problems};
use bcce_core::config::documents::parameter_name;
use bcce_core::config::webhook::Source;
use bcce_core::document::from_yaml;
use bcce_core::io::reader::follow_pointer;
use bcce_core::ports::{GetObject, GetParameters, ListParameters};
use bcce_core::webhook::Secret;
use time::OffsetDateTime;

/// The time for which a reading is used. Calls cause no new reading within this time. A push, a new source and a new
/// secret take effect after it.
const FRESH: Duration = Duration::from_secs(30);
/// The time for which an earlier reading is used while new readings fail.
const STALE: Duration = Duration::from_secs(600);
/// The longest pause between two readings while a service fails. The first pause is one second, and each further pause
/// is twice as long as the one before.
const LONGEST_PAUSE: Duration = FRESH;

/// The services and names from which sources are read.
pub struct Lookup<'a, S, P> {
    pub store: &'a S,
    pub parameters: &'a P,
    pub bucket: &'a str,
    pub environment: &'a str,
    pub now: OffsetDateTime,
}

/// The reason why a source or its secrets cannot be used.
#[derive(Debug)]
pub enum Missing {
    /// No source of this name exists.
    Unknown,
    /// The document is invalid, or no secret can be used, so no signature can be verified. The cause is logged once for
    /// each reading, not for each call, because anybody can call.
    Incomplete,
    /// SSM or S3 failed, and no earlier reading can be used.
    Unreadable(Fault),
}

/// A value that was read, and the time of its next reading.
#[derive(Debug)]
struct Cached<T> {
    /// The last value, and when it was read.
    value: Option<(OffsetDateTime, T)>,
    /// The readings that have failed since then.
    failures: u32,
    /// The time before which nothing is read.
    next: Option<OffsetDateTime>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self { value: None, failures: 0, next: None }
    }
}

impl<T: Clone> Cached<T> {
    fn is_due(&self, now: OffsetDateTime) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Returns the last value, if it is younger than [`STALE`].
    fn serving(&self, now: OffsetDateTime) -> Result<T, Fault> {
        match &self.value {
            Some((read_at, value)) if now - *read_at < STALE => Ok(value.clone()),
            _ => Err(Fault::internal("the last attempt to read the webhook configuration failed")),
        }
    }

    /// Records a reading. Returns the value to use from now on, which after a failure is the earlier one.
    fn record(&mut self, now: OffsetDateTime, read: Result<T, Fault>) -> Result<T, Fault> {
        match read {
            Ok(value) => {
                *self = Self { value: Some((now, value)), failures: 0, next: Some(now + FRESH) };
                self.serving(now)
            }
            Err(fault) => {
                let pause = Duration::from_secs(1 << self.failures.min(5)).min(LONGEST_PAUSE);
                self.next = Some(now + pause);
                self.failures += 1;
                let serving = self.serving(now).map_err(|_| fault.clone())?;
                tracing::warn!("using the configuration of an earlier reading: {}", fault.message);
                Ok(serving)
            }
        }
    }
}

/// A source's document, or `None` if it is invalid.
type Document = Option<Rc<Source>>;

/// The cached document and secrets of a source.
#[derive(Default)]
struct Entry {
    document: Cached<Document>,
    /// The valid secrets; empty if all are missing or invalid.
    secrets: Cached<Rc<[Secret]>>,
}

/// The sources that may call, as they were last read. One instance serves all invocations of the function.
#[derive(Default)]
pub struct Sources {
    /// The values of the SSM parameters of all sources, by parameter name.
    listed: RefCell<Cached<Rc<BTreeMap<String, String>>>>,
    /// The entries of listed sources, by source name.
    entries: RefCell<BTreeMap<String, Entry>>,
}

impl Sources {
    /// Returns the document of a source. Reads no secret.
    ///
    /// # Errors
    /// The source does not exist, its document is invalid, or SSM or S3 failed.
    pub async fn source(
        &self,
        lookup: &Lookup<'_, impl GetObject, impl GetParameters + ListParameters>,
        name: &str,
    ) -> Result<Rc<Source>, Missing> {
        let parameter = parameter_name(lookup.environment, &format!("webhooks/{name}"));
        let listed = self.list(lookup).await.map_err(Missing::Unreadable)?;
        let Some(value) = listed.get(&parameter) else { return Err(Missing::Unknown) };
        let is_due = self.with(name, |entry| entry.document.is_due(lookup.now));
        let document = if is_due {
            // Boxed, because the SDK's futures inside those of a handler exceed the compiler's limit on type depth.
            let read = Box::pin(lookup.document(&parameter, value)).await;
            self.with(name, |entry| entry.renew(lookup.now, read))
        } else {
            self.with(name, |entry| entry.document.serving(lookup.now))
        };
        document.map_err(Missing::Unreadable)?.ok_or(Missing::Incomplete)
    }

    /// Returns the secrets of a source, at least one.
    ///
    /// # Errors
    /// All secrets are missing or invalid, or SSM failed.
    pub async fn secrets(
        &self,
        lookup: &Lookup<'_, impl GetObject, impl GetParameters + ListParameters>,
        name: &str,
        source: &Source,
    ) -> Result<Rc<[Secret]>, Missing> {
        let is_due = self.with(name, |entry| entry.secrets.is_due(lookup.now));
        let secrets = if is_due {
            let read = Box::pin(lookup.secrets(name, source)).await;
            self.with(name, |entry| entry.secrets.record(lookup.now, read))
        } else {
            self.with(name, |entry| entry.secrets.serving(lookup.now))
        };
        let secrets = secrets.map_err(Missing::Unreadable)?;
        if secrets.is_empty() { Err(Missing::Incomplete) } else { Ok(secrets) }
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Entry) -> T) -> T {
        act(self.entries.borrow_mut().entry(name.to_owned()).or_default())
    }

    /// Returns the parameters of all sources, and lists them again when that is due. Drops the entries of sources that
    /// are not listed any more.
    async fn list(
        &self,
        lookup: &Lookup<'_, impl GetObject, impl GetParameters + ListParameters>,
    ) -> Result<Rc<BTreeMap<String, String>>, Fault> {
        if !self.listed.borrow().is_due(lookup.now) {
            return self.listed.borrow().serving(lookup.now);
        }
        let path = parameter_name(lookup.environment, "webhooks");
        let read = Box::pin(lookup.parameters.below(&path)).await.map(Rc::new);
        let listed = self.listed.borrow_mut().record(lookup.now, read)?;
        let is_listed = |name: &str| listed.contains_key(&format!("{path}/{name}"));
        self.entries.borrow_mut().retain(|name, _| is_listed(name));
        Ok(listed)
    }
}

impl Entry {
    /// Records a document that was read. If the document has changed, drops the cached secrets, which belong to the
    /// previous document.
    fn renew(
        &mut self,
        now: OffsetDateTime,
        read: Result<Document, Fault>,
    ) -> Result<Document, Fault> {
        let before = self.document.value.as_ref().and_then(|(_, document)| document.clone());
        let document = self.document.record(now, read)?;
        if document != before {
            self.secrets = Cached::default();
        }
        Ok(document)
    }
}

impl<S: GetObject, P: GetParameters> Lookup<'_, S, P> {
    /// Reads a document. Logs the problems of an invalid one, and returns `None`.
    async fn document(&self, parameter: &str, value: &str) -> Result<Document, Fault> {
        let text = follow_pointer(self.store, self.bucket, value).await?;
        match text.and_then(|text| from_yaml::<Source>(&text).finished()) {
            Ok(source) => Ok(Some(Rc::new(source))),
            Err(problems) => {
                log_incomplete(parameter, &problems.within(parameter));
                Ok(None)
            }
        }
    }

    /// Reads the valid secrets of a source, and logs the problems of the others. While one of two secrets is being
    /// replaced, it may be missing or invalid.
    async fn secrets(&self, source_name: &str, source: &Source) -> Result<Rc<[Secret]>, Fault> {
        let name = |secret: &String| parameter_name(self.environment, &format!("secrets/{secret}"));
        let names: Vec<String> = source.secrets.iter().map(name).collect();
        let found = self.parameters.parameters(&names).await?;
        let (mut secrets, mut problems) = (Vec::new(), Problems::default());
        for (name, parameter) in &found {
            match Secret::parse(source.provider, &parameter.value) {
                Ok(secret) => secrets.push(secret),
                Err(cause) => problems.add(name, cause),
            }
        }
        if found.is_empty() {
            problems.add(names.join(", "), "the SSM parameter is missing");
        }
        if !problems.is_empty() {
            log_incomplete(source_name, &problems);
        }
        Ok(secrets.into())
    }
}

/// Logs for the operator why a source cannot verify calls. Called once for each reading, never for each call.
fn log_incomplete(source: &str, problems: &Problems) {
    tracing::error!(source, "a webhook cannot verify calls until it is set up: {problems}");
}
