//! What waits, by the tenant, and over all tenants for the alarm.

use std::collections::BTreeMap;

use bcce_core::emf;
use serde_json::json;
use time::OffsetDateTime;

/// One document for each tenant that waits and one for all of them; none where nobody waits.
pub(crate) fn of_waits<'a>(
    environment: &str,
    at: OffsetDateTime,
    waits: impl Iterator<Item = (&'a str, &'static str)>,
) -> Vec<String> {
    let mut by_tenant: BTreeMap<&str, (u32, &str)> = BTreeMap::new();
    for (tenant, because) in waits {
        let (count, why) = by_tenant.entry(tenant).or_default();
        *count += 1;
        *why = because;
    }
    let all: u32 = by_tenant.values().map(|(count, _)| count).sum();
    let document = |dimensions: &[(&str, &str)], count: u32, because: &str| {
        let metrics = [("MessagesWaiting", "Count", json!(count))];
        emf::document(at, dimensions, &metrics, &[("because", json!(because))])
    };
    let each = by_tenant.iter().map(|(tenant, (count, because))| {
        document(&[("Environment", environment), ("Tenant", tenant)], *count, because)
    });
    let together =
        (all > 0).then(|| document(&[("Environment", environment)], all, "see its tenants"));
    each.chain(together).collect()
}
