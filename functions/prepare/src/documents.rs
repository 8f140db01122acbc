//! The configuration, with a short cache: SSM answers 40 requests a second by default, and a burst of runs
//! shares one reading.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::config::configuration::Configuration;
use bcce_core::io::reader::Reader;
use bcce_core::ports::{GetObject, GetParameters};
use time::OffsetDateTime;

/// How long a reading serves. A push takes effect within this time.
const FRESH: Duration = Duration::from_secs(5);

/// Readings by workflow.
#[derive(Default)]
pub struct Documents(RefCell<HashMap<String, (OffsetDateTime, Rc<Configuration>)>>);

impl Documents {
    /// # Errors
    /// `Bcce.InvalidRequest` for an unknown workflow or a document that is missing or wrong: a person
    /// can mend it, a retry cannot. It is not kept, so that mending it takes effect at once.
    pub async fn read(
        &self,
        source: &Reader<'_, impl GetObject, impl GetParameters>,
        now: OffsetDateTime,
        workflow: &str,
    ) -> Result<Rc<Configuration>, Fault> {
        if let Some((at, reading)) = self.0.borrow().get(workflow)
            && now - *at < FRESH
        {
            return Ok(reading.clone());
        }
        let reading = Rc::new(source.read(workflow).await??);
        self.0.borrow_mut().insert(workflow.to_owned(), (now, reading.clone()));
        Ok(reading)
    }
}
