//! Who may call, with a short cache: SSM answers 40 requests a second by default, and the address is public.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use bcce_core::config::parameter_name;
use bcce_core::document::from_yaml;
use bcce_core::environment::follow;
use bcce_core::error::{Fault, Problems};
use bcce_core::ports::{GetObject, GetParameters};
use bcce_core::webhook::{Secret, Source};
use time::OffsetDateTime;

use crate::answer::Answer;

/// How long a reading serves. A push takes effect within this time.
const FRESH: Duration = Duration::from_secs(30);
/// A signature that does not fit has the secrets read again, not more often than that.
const AGAIN: Duration = Duration::from_secs(2);
/// Names that are remembered: anybody can ask for any.
const MOST: usize = 200;

/// What is read, and from where.
pub struct Lookup<'a, S, P> {
    pub store: &'a S,
    pub parameters: &'a P,
    pub bucket: &'a str,
    pub environment: &'a str,
}

/// A source with its secrets, at least one.
#[derive(Clone, Debug)]
pub struct Known {
    pub source: Rc<Source>,
    pub secrets: Rc<[Secret]>,
}

/// `None`: there is no such source.
type Reading = Result<Option<Known>, Problems>;

/// Readings by name.
#[derive(Default)]
pub struct Sources(RefCell<HashMap<String, (OffsetDateTime, Reading)>>);

impl Sources {
    /// # Errors
    /// The answer to a caller of it.
    pub async fn get(
        &self,
        lookup: &Lookup<'_, impl GetObject, impl GetParameters>,
        name: &str,
        now: OffsetDateTime,
    ) -> Result<Known, Answer> {
        let kept = self.0.borrow().get(name).filter(|(at, _)| now - *at < FRESH).cloned();
        let reading = match kept {
            Some((_, reading)) => reading,
            None => self.read(lookup, name, now).await?,
        };
        known(name, reading)
    }

    /// A reading that is newer than the one kept; `None`: that one is new.
    pub async fn newer(
        &self,
        lookup: &Lookup<'_, impl GetObject, impl GetParameters>,
        name: &str,
        now: OffsetDateTime,
    ) -> Result<Option<Known>, Answer> {
        let is_new = self.0.borrow().get(name).is_some_and(|(at, _)| now - *at < AGAIN);
        if is_new {
            return Ok(None);
        }
        known(name, self.read(lookup, name, now).await?).map(Some)
    }

    async fn read(
        &self,
        lookup: &Lookup<'_, impl GetObject, impl GetParameters>,
        name: &str,
        now: OffsetDateTime,
    ) -> Result<Reading, Answer> {
        // Boxed: the SDK's futures inside those of a handler are deeper than the compiler looks.
        let reading = Box::pin(lookup.read(name)).await.map_err(Answer::Unavailable)?;
        let mut kept = self.0.borrow_mut();
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(name.to_owned(), (now, reading.clone()));
        Ok(reading)
    }
}

fn known(name: &str, reading: Reading) -> Result<Known, Answer> {
    match reading {
        Ok(Some(known)) => Ok(known),
        Ok(None) => Err(Answer::Unknown),
        Err(problems) => Err(Answer::Misconfigured { source: name.to_owned(), problems }),
    }
}

impl<S: GetObject, P: GetParameters> Lookup<'_, S, P> {
    async fn read(&self, name: &str) -> Result<Reading, Fault> {
        let parameter = parameter_name(self.environment, &format!("webhooks/{name}"));
        let mut found = self.parameters.parameters(std::slice::from_ref(&parameter)).await?;
        let Some(value) = found.remove(&parameter) else { return Ok(Ok(None)) };
        let text = follow(self.store, self.bucket, &value).await?;
        match text.and_then(|text| from_yaml::<Source>(&text).finished()) {
            Ok(source) => self.with_secrets(source).await,
            Err(problems) => Ok(Err(problems.within(&parameter))),
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
        Ok(problems.none_or(Some(Known { source: Rc::new(source), secrets: secrets.into() })))
    }
}
