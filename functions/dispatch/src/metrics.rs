//! Makes the metrics of a batch of messages: how many wait, by tenant and in all, and that runs were started.

use std::collections::BTreeMap;

use bcce_core::base::emf;
use serde_json::json;
use time::OffsetDateTime;

use crate::waiting::Because;

/// Returns one document for each tenant that waits, and one for all of them, which the alarm reads. The latter leaves
/// out messages that wait for an unknown workflow, because any sender can make names up.
pub fn of_waits<'a>(
    environment: &str,
    at: OffsetDateTime,
    waits: impl Iterator<Item = (&'a str, Because)>,
) -> Vec<String> {
    let mut by_tenant: BTreeMap<&str, (u32, &str)> = BTreeMap::new();
    let mut all = 0;
    for (tenant, because) in waits {
        let (count, why) = by_tenant.entry(tenant).or_default();
        *count += 1;
        *why = because.as_str();
        all += u32::from(because != Because::UnknownWorkflow);
    }
    let document = |dimensions: &[(&str, &str)], count: u32, because: &str| {
        let metrics = [("MessagesWaiting", "Count", json!(count))];
        emf::document(at, dimensions, &metrics, &[("because", json!(because))])
    };
    let each = by_tenant.iter().map(|(tenant, (count, because))| {
        document(&[("Environment", environment), ("Tenant", tenant)], *count, because)
    });
    let together = (all > 0).then(|| {
        document(&[("Environment", environment)], all, "see the documents of the tenants")
    });
    each.chain(together).collect()
}

/// Returns the document of an invocation that started runs. A run that succeeds writes the same metric with 0, so its
/// minimum over a time is 1 if runs were started and none succeeded.
pub fn of_start(environment: &str, at: OffsetDateTime) -> String {
    emf::document(at, &[("Environment", environment)], &[("NoSuccess", "None", json!(1))], &[])
}
