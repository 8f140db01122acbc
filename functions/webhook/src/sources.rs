//! Who may call. The address is public and SSM answers 40 requests a second for a whole account, so what is read
//! serves for a while, and asking for names that are nobody's reads nothing more.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bcce_core::config::parameter_name;
use bcce_core::document::from_yaml;
use bcce_core::environment::follow;
use bcce_core::error::{Fault, Problems};
use bcce_core::ports::{GetObject, GetParameters, ListParameters};
use bcce_core::webhook::{Secret, Source};
use time::OffsetDateTime;

/// How long a reading serves. A push takes effect within this time.
const FRESH: Duration = Duration::from_secs(30);
/// A name that is not known and a signature that does not fit have things read again, not more often than that.
const AGAIN: Duration = Duration::from_secs(2);
/// How long an old reading serves while there is no new one.
const STALE: Duration = Duration::from_secs(600);

/// What is read, and from where.
pub struct Lookup<'a, S, P> {
    pub store: &'a S,
    pub parameters: &'a P,
    pub bucket: &'a str,
    pub environment: &'a str,
    pub now: OffsetDateTime,
}

/// A source with its secrets, at least one.
#[derive(Clone, Debug)]
pub struct Known {
    pub source: Rc<Source>,
    pub secrets: Rc<[Secret]>,
}

/// Why there is no source to go by.
#[derive(Debug)]
pub enum Missing {
    /// Nobody has set it up.
    Unknown,
    /// Its own document or secrets are wrong.
    Misconfigured(Problems),
    Unreadable(Fault),
}

type Reading = Result<Known, Problems>;

#[derive(Clone, Debug)]
struct Kept {
    read_at: OffsetDateTime,
    /// Until then it is not looked for a newer one.
    serves_until: OffsetDateTime,
    reading: Reading,
}

#[derive(Default)]
pub struct Sources {
    /// The parameters of all sources, by name, and when they came.
    listed: RefCell<BTreeMap<String, String>>,
    listed_at: Cell<Option<OffsetDateTime>>,
    /// Only of names that are listed.
    kept: RefCell<BTreeMap<String, Kept>>,
}

impl Sources {
    pub async fn get(
        &self,
        lookup: &Lookup<'_, impl GetObject, impl GetParameters + ListParameters>,
        name: &str,
    ) -> Result<Known, Missing> {
        let kept = self.kept.borrow().get(name).cloned();
        let kept = match kept {
            Some(kept) if lookup.now < kept.serves_until => {
                return kept.reading.map_err(Missing::Misconfigured);
            }
            kept => kept.filter(|kept| lookup.now - kept.read_at < STALE),
        };
        match (self.reading(lookup, name).await, kept) {
            (Err(Missing::Unreadable(fault)), Some(Kept { read_at, reading: Ok(known), .. })) => {
                tracing::warn!("an old reading serves: {}", fault.message);
                let until = (lookup.now + AGAIN).min(read_at + STALE);
                self.keep(name, read_at, until, Ok(known.clone()));
                Ok(known)
            }
            (read, _) => read,
        }
    }

    /// A reading that is newer than the one kept; `None`: that one is new, or there is no newer one.
    pub async fn newer(
        &self,
        lookup: &Lookup<'_, impl GetObject, impl GetParameters + ListParameters>,
        name: &str,
    ) -> Option<Known> {
        let is_new =
            self.kept.borrow().get(name).is_some_and(|kept| lookup.now - kept.read_at < AGAIN);
        if is_new { None } else { self.reading(lookup, name).await.ok() }
    }

    fn keep(&self, name: &str, read_at: OffsetDateTime, until: OffsetDateTime, reading: Reading) {
        let kept = Kept { read_at, serves_until: until, reading };
        self.kept.borrow_mut().insert(name.to_owned(), kept);
    }

    async fn reading(
        &self,
        lookup: &Lookup<'_, impl GetObject, impl GetParameters + ListParameters>,
        name: &str,
    ) -> Result<Known, Missing> {
        let parameter = parameter_name(lookup.environment, &format!("webhooks/{name}"));
        self.list(lookup, &parameter).await.map_err(Missing::Unreadable)?;
        let Some(value) = self.listed.borrow().get(&parameter).cloned() else {
            return Err(Missing::Unknown);
        };
        // Boxed: the SDK's futures inside those of a handler are deeper than the compiler looks.
        let reading = Box::pin(lookup.read(&parameter, &value)).await;
        let reading = reading.map_err(Missing::Unreadable)?;
        self.keep(name, lookup.now, lookup.now + FRESH, reading.clone());
        reading.map_err(Missing::Misconfigured)
    }

    /// Lists the sources again where that is due: sooner for a name that is not among them.
    async fn list(
        &self,
        lookup: &Lookup<'_, impl GetObject, impl GetParameters + ListParameters>,
        parameter: &str,
    ) -> Result<(), Fault> {
        let serves = if self.listed.borrow().contains_key(parameter) { FRESH } else { AGAIN };
        if self.listed_at.get().is_some_and(|at| lookup.now - at < serves) {
            return Ok(());
        }
        let path = parameter_name(lookup.environment, "webhooks");
        let listed = Box::pin(lookup.parameters.below(&path)).await?;
        let is_listed = |name: &str| listed.contains_key(&format!("{path}/{name}"));
        self.kept.borrow_mut().retain(|name, _| is_listed(name));
        *self.listed.borrow_mut() = listed;
        self.listed_at.set(Some(lookup.now));
        Ok(())
    }
}

impl<S: GetObject, P: GetParameters> Lookup<'_, S, P> {
    async fn read(&self, parameter: &str, value: &str) -> Result<Reading, Fault> {
        let text = follow(self.store, self.bucket, value).await?;
        match text.and_then(|text| from_yaml::<Source>(&text).finished()) {
            Ok(source) => self.with_secrets(source).await,
            Err(problems) => Ok(Err(problems.within(parameter))),
        }
    }

    async fn with_secrets(&self, source: Source) -> Result<Reading, Fault> {
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
        // While a secret is being replaced, the other one may be missing.
        if found.is_empty() {
            problems.add(names.join(", "), "the SSM parameter is missing");
        }
        Ok(problems.none_or(Known { source: Rc::new(source), secrets: secrets.into() }))
    }
}
