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
use bcce_core::ports::{GetObject, GetParameters};
use bcce_core::pricing::Prices;
use bcce_core::routing::Routing;
use bcce_core::template::Template;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use crate::Config;

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
    pub async fn read(
        &self,
        origin: &Origin<'_, impl GetObject, impl GetParameters>,
        now: OffsetDateTime,
        workflow: &str,
    ) -> Result<Rc<Reading>, Fault> {
        if let Some((at, reading)) = self.0.borrow().get(workflow)
            && now - *at < FRESH
        {
            return Ok(reading.clone());
        }
        let reading = Rc::new(origin.read(workflow).await?);
        self.0.borrow_mut().insert(workflow.to_owned(), (now, reading.clone()));
        Ok(reading)
    }
}

/// Where documents are read from.
pub struct Origin<'a, S, P> {
    pub store: &'a S,
    pub parameters: &'a P,
    pub config: &'a Config,
}

type Values = BTreeMap<String, String>;

impl<S: GetObject, P: GetParameters> Origin<'_, S, P> {
    async fn read(&self, workflow: &str) -> Result<Reading, Fault> {
        let template = format!("workflows/{workflow}");
        let names = ["models", "routing", "policy", "prices", &template];
        let names = names.map(|name| parameter_name(&self.config.environment, name));
        let values = self.parameters.parameters(&names).await?;
        let [models, routing, policy, prices, template] = &names;
        if !values.contains_key(template) {
            let cause =
                format!("there is no workflow {workflow}: the SSM parameter {template} is missing");
            return Err(Problems::one("workflow", cause).into());
        }
        Ok(Reading {
            template: self.document(&values, template, Template::parse).await?,
            models: self.checked(&values, models, Models::check).await?,
            routing: self.checked(&values, routing, Routing::check).await?,
            policy: self.checked(&values, policy, Policy::check).await?,
            prices: self.checked(&values, prices, Prices::check).await?,
        })
    }

    async fn checked<T: DeserializeOwned>(
        &self,
        values: &Values,
        name: &str,
        check: impl Fn(&T) -> Problems,
    ) -> Result<Document<T>, Fault> {
        let parse =
            |body: &str| parse_yaml::<T>(body).and_then(|value| check(&value).none_or(value));
        self.document(values, name, parse).await
    }

    async fn document<T>(
        &self,
        values: &Values,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Problems>,
    ) -> Result<Document<T>, Fault> {
        let body = self.body(values, name).await?;
        let value = parse(&body).map_err(|problems| in_document(name, &problems))?;
        Ok(Document { value, sha256: sha256_hex(body.as_bytes()) })
    }

    /// The parameter's own text, or the object it points to.
    async fn body(&self, values: &Values, name: &str) -> Result<String, Fault> {
        let told = |cause: &str| in_document(name, &Problems::one("document", cause));
        let value = values.get(name).ok_or_else(|| told("the SSM parameter is missing"))?;
        let Some(pointer) = Pointer::parse(value) else { return Ok(value.clone()) };
        let bucket = &self.config.bucket;
        let key = pointer
            .key_in(bucket)
            .ok_or_else(|| told(&format!("uri: must lie in s3://{bucket}/")))?;
        let body =
            self.store.get(key).await?.ok_or_else(|| told(&format!("uri: there is no {key}")))?;
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
