//! Reads the configuration, with a short cache. SSM answers 40 requests a second by default, so a burst of runs shares
//! one reading.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::config::configuration::Configuration;
use bcce_core::io::reader::Reader;
use bcce_core::ports::{GetObject, GetParameters};
use time::OffsetDateTime;

/// The time for which a reading is used. A push takes effect within this time.
const FRESH: Duration = Duration::from_secs(5);

/// The last reading of the configuration of each workflow.
#[derive(Default)]
pub struct Documents(RefCell<HashMap<String, (OffsetDateTime, Rc<Configuration>)>>);

impl Documents {
    /// Returns the configuration of a workflow.
    ///
    /// # Errors
    /// `Bcce.InvalidRequest`: the workflow is unknown, or a document is missing or invalid. A retry does not help until
    /// a person corrects it. The error is not cached, so a correction takes effect at once. `Bcce.Internal`: SSM or S3
    /// failed.
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
