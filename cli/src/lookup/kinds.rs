//! The two kinds of records that have names.

use bcce_aws::dynamodb::Ledger;
use bcce_core::base::error::Fault;
use bcce_core::batch::BatchRef;
use bcce_core::ledger::{BatchRecord, RunRecord};
use bcce_core::ports::ReadAttempts;
use bcce_core::run::ids::RunRef;

use crate::batch::Batch;
use crate::latest::Listed;
use crate::run::Run;
use crate::tracked::Tracked;
use crate::values;

/// A record of a run or of a batch that can be found by a name.
pub trait Named: Listed {
    /// The attribute with the id.
    const ID: &'static str;
    /// The group of its commands.
    const GROUP: &'static str;
    /// False if only the tenant `default` sends such requests.
    const HAS_TENANTS: bool;

    /// Returns true if a name has the form of a whole id.
    fn is_id(name: &str) -> bool;
    fn id_of(tenant: &str, workflow: &str, request_id: &str) -> String;
    /// Reads the records of all attempts, the latest last.
    async fn attempts(ledger: &Ledger, id: &str) -> Result<Vec<Self>, Fault>;
}

impl Named for RunRecord {
    const ID: &'static str = "run_id";
    const GROUP: &'static str = Run::GROUP;
    const HAS_TENANTS: bool = true;

    fn is_id(name: &str) -> bool {
        values::run_id(name).is_ok()
    }

    fn id_of(tenant: &str, workflow: &str, request_id: &str) -> String {
        RunRef::first(tenant, workflow, request_id).run_id
    }

    async fn attempts(ledger: &Ledger, id: &str) -> Result<Vec<Self>, Fault> {
        ReadAttempts::attempts(ledger, id).await
    }
}

impl Named for BatchRecord {
    const ID: &'static str = "batch_id";
    const GROUP: &'static str = Batch::GROUP;
    const HAS_TENANTS: bool = false;

    fn is_id(name: &str) -> bool {
        values::batch_id(name).is_ok()
    }

    fn id_of(tenant: &str, workflow: &str, request_id: &str) -> String {
        BatchRef::first(tenant, workflow, request_id).batch_id
    }

    async fn attempts(ledger: &Ledger, id: &str) -> Result<Vec<Self>, Fault> {
        ledger.batch_attempts(id).await
    }
}
