//! The configuration out of SSM, with a short cache: SSM answers 40 requests a second by default, and a
//! burst of runs shares one reading.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use bcce_core::config::{Pointer, parameter_name, parse_yaml};
use bcce_core::digest::sha256_hex;
use bcce_core::error::{ErrorName, Fault, Problems};
use bcce_core::models::Models;
use bcce_core::policy::Policy;
use bcce_core::ports::{Clock, GetObject, GetParameters};
use bcce_core::pricing::Prices;
use bcce_core::routing::Routing;
use bcce_core::template::Template;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use crate::{Config, Ports};

/// How long a reading serves. A push takes effect within this time.
const FRESH: Duration = Duration::from_secs(5);

/// One reading of everything a plan of one workflow needs.
pub struct Reading {
    pub template: Document<Template>,
    pub models: Document<Models>,
    pub routing: Document<Routing>,
    pub policy: Document<Policy>,
    pub prices: Document<Prices>,
}

pub struct Document<T> {
    pub value: T,
    pub sha256: String,
}

/// Readings by workflow.
#[derive(Default)]
pub struct Documents(RefCell<HashMap<String, (OffsetDateTime, Rc<Reading>)>>);

impl Documents {
    /// # Errors
    /// `Bcce.InvalidRequest` for an unknown workflow or a document that is missing or wrong: a person
    /// can mend it, a retry cannot.
    pub async fn read<S, P, L, C>(
        &self,
        ports: &Ports<S, P, L, C>,
        config: &Config,
        workflow: &str,
    ) -> Result<Rc<Reading>, Fault>
    where
        S: GetObject,
        P: GetParameters,
        C: Clock,
    {
        let now = ports.clock.now();
        if let Some((at, reading)) = self.0.borrow().get(workflow)
            && now - *at < FRESH
        {
            return Ok(reading.clone());
        }
        let reading = Rc::new(read(ports, config, workflow).await?);
        self.0.borrow_mut().insert(workflow.to_owned(), (now, reading.clone()));
        Ok(reading)
    }
}

async fn read<S, P, L, C>(
    ports: &Ports<S, P, L, C>,
    config: &Config,
    workflow: &str,
) -> Result<Reading, Fault>
where
    S: GetObject,
    P: GetParameters,
{
    let template = format!("workflows/{workflow}");
    let names = ["models", "routing", "policy", "prices", &template];
    let names = names.map(|name| parameter_name(&config.environment, name));
    let values = ports.parameters.parameters(&names).await?;
    if !values.contains_key(&names[4]) {
        let cause =
            format!("there is no workflow {workflow}: the SSM parameter {} is missing", names[4]);
        return Err(Problems::one("workflow", cause).into());
    }
    let source = Source { ports, config, values: &values };
    Ok(Reading {
        template: source.template(&names[4]).await?,
        models: source.document(&names[0], Models::check).await?,
        routing: source.document(&names[1], Routing::check).await?,
        policy: source.document(&names[2], Policy::check).await?,
        prices: source.document(&names[3], Prices::check).await?,
    })
}

struct Source<'a, S, P, L, C> {
    ports: &'a Ports<S, P, L, C>,
    config: &'a Config,
    values: &'a BTreeMap<String, String>,
}

impl<S: GetObject, P, L, C> Source<'_, S, P, L, C> {
    async fn template(&self, name: &str) -> Result<Document<Template>, Fault> {
        let body = self.body(name).await?;
        let value = Template::parse(&body).map_err(|problems| in_document(name, &problems))?;
        Ok(Document { value, sha256: sha256_hex(body.as_bytes()) })
    }

    async fn document<T: DeserializeOwned>(
        &self,
        name: &str,
        check: impl Fn(&T) -> Problems,
    ) -> Result<Document<T>, Fault> {
        let body = self.body(name).await?;
        let parsed = parse_yaml::<T>(&body).and_then(|value| check(&value).none_or(value));
        let value = parsed.map_err(|problems| in_document(name, &problems))?;
        Ok(Document { value, sha256: sha256_hex(body.as_bytes()) })
    }

    /// The parameter's own text, or the object it points to.
    async fn body(&self, name: &str) -> Result<String, Fault> {
        let told = |cause: &str| in_document(name, &Problems::one("document", cause));
        let value = self.values.get(name).ok_or_else(|| told("the SSM parameter is missing"))?;
        let Some(pointer) = Pointer::parse(value) else { return Ok(value.clone()) };
        let bucket = &self.config.bucket;
        let key = pointer
            .key_in(bucket)
            .ok_or_else(|| told(&format!("uri: must lie in s3://{bucket}/")))?;
        let body = self
            .ports
            .store
            .get(key)
            .await?
            .ok_or_else(|| told(&format!("uri: there is no {key}")))?;
        let sha256 = sha256_hex(&body);
        if sha256 != pointer.sha256 {
            return Err(told(&format!(
                "sha256: {key} has the digest {sha256}, not the one it is pointed to with"
            )));
        }
        String::from_utf8(body).map_err(|_| told("is not UTF-8"))
    }
}

fn in_document(name: &str, problems: &Problems) -> Fault {
    Fault::new(ErrorName::InvalidRequest, format!("{name}: {problems}"))
}
