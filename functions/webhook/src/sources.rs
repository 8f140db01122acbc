//! Who may call. The address is public and SSM answers 40 requests a second for a whole account, so what is read
//! serves for a while, and asking for names that are nobody's reads nothing more.

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

/// How long a reading serves. Whoever calls, nothing is read again within this time, and a push, a new source and a
/// new secret take effect after it.
const FRESH: Duration = Duration::from_secs(30);
/// How long an old reading serves while there is no new one.
const STALE: Duration = Duration::from_secs(600);
/// The longest pause between two tries while a service fails. The first pause is a second, and each is twice the one
/// before.
const LONGEST_PAUSE: Duration = FRESH;

/// What is read, and from where.
pub struct Lookup<'a, S, P> {
    pub store: &'a S,
    pub parameters: &'a P,
    pub bucket: &'a str,
    pub environment: &'a str,
    pub now: OffsetDateTime,
}

/// Why there is nothing to go by.
#[derive(Debug)]
pub enum Missing {
    /// Nobody has set it up.
    Unknown,
    /// Its document or its secrets are missing or wrong, so no signature can be verified. The log says what is wrong,
    /// once for each reading: anybody can call.
    Incomplete,
    Unreadable(Fault),
}

/// A value that was read, and when it is read again.
#[derive(Debug)]
struct Cached<T> {
    value: Option<(OffsetDateTime, T)>,
    failures: u32,
    /// Nothing is read before that time.
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

    /// Returns the last reading that may still serve.
    fn serving(&self, now: OffsetDateTime) -> Result<T, Fault> {
        match &self.value {
            Some((read_at, value)) if now - *read_at < STALE => Ok(value.clone()),
            _ => {
                Err(Fault::internal("the configuration of webhooks could not be read a moment ago"))
            }
        }
    }

    /// Records a reading, and returns what serves from now on.
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
                tracing::warn!("an old reading serves: {}", fault.message);
                Ok(serving)
            }
        }
    }
}

/// A document; `None` where it is wrong.
type Document = Option<Rc<Source>>;

/// What is known of one name that is listed.
#[derive(Default)]
struct Entry {
    document: Cached<Document>,
    /// None of them where all are missing or wrong.
    secrets: Cached<Rc<[Secret]>>,
}

#[derive(Default)]
pub struct Sources {
    /// The parameters of all sources, by name.
    listed: RefCell<Cached<Rc<BTreeMap<String, String>>>>,
    /// Only of names that are listed.
    entries: RefCell<BTreeMap<String, Entry>>,
}

impl Sources {
    /// Returns the document of a source. It reads no secret.
    ///
    /// # Errors
    /// There is none, it is wrong, or it cannot be read.
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
            // Boxed: the SDK's futures inside those of a handler are deeper than the compiler looks.
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
    /// There is none that can be used, or they cannot be read.
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

    /// Lists the sources again where that is due, whether or not a name is among them.
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
    /// Records a document that was read. The secrets of another document do not serve for it.
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

    /// While a secret is being replaced, the other one may be missing or wrong.
    async fn secrets(&self, source_name: &str, source: &Source) -> Result<Rc<[Secret]>, Fault> {
        let name = |secret: &String| parameter_name(self.environment, &format!("secrets/{secret}"));
        let names: Vec<String> = source.secrets.iter().map(name).collect();
        let found = self.parameters.parameters(&names).await?;
        let (mut secrets, mut problems) = (Vec::new(), Problems::default());
        for (name, text) in &found {
            match Secret::parse(source.provider, text) {
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

/// Logs it for the operator, once for each reading and never for each call.
fn log_incomplete(source: &str, problems: &Problems) {
    tracing::error!(source, "a webhook cannot verify calls until it is set up: {problems}");
}
