//! Keeps the descriptions of profiles in the stack. If Bedrock changes the regions of a profile, runs must know before the
//! next `bcce config push`.

use bcce_core::base::error::Fault;
use bcce_core::config::documents::PROFILES;
use bcce_core::config::profiles::{Profiles, ProfilesDocument};
use bcce_core::io::writer::write_document;
use bcce_core::ports::{GetObject, GetParameters, PutDocument, PutParameter};
use bcce_core::standby::facts::TargetFacts;

use crate::{Config, Ports};

/// Returns the descriptions of the stack with those that Bedrock has given now.
pub fn renewed(stored: &Profiles, facts: &[TargetFacts]) -> Profiles {
    let mut renewed = stored.clone();
    let described = facts.iter().filter_map(|facts| facts.profile.as_ref()?.as_ref().ok());
    for profile in described {
        let is_same = |known: &&mut _| is_of(known, &profile.region, &profile.id);
        match renewed.0.iter_mut().find(is_same) {
            Some(known) => known.clone_from(profile),
            None => renewed.0.push(profile.clone()),
        }
    }
    renewed
}

fn is_of(known: &bcce_core::config::profiles::Profile, region: &str, id: &str) -> bool {
    known.region == region && known.id == id
}

/// Writes the descriptions that Bedrock has given now, if they differ from those of the stack. Reads these again, because a
/// `bcce config push` may have written them meanwhile.
///
/// # Errors
/// `Bcce.Internal`: S3 or SSM failed.
pub async fn store<S, P, L, H, M, B, Q, T, C, F>(
    ports: &Ports<S, P, L, H, M, B, Q, T, C, F>,
    config: &Config,
    facts: &[TargetFacts],
) -> Result<(), Fault>
where
    S: GetObject + PutDocument,
    P: GetParameters + PutParameter,
{
    let (store, parameters) = (&ports.store, &ports.parameters);
    let (bucket, environment) = (&*config.bucket, &*config.environment);
    let stored = ports.reader(config).targets().await?.profiles;
    let renewed = renewed(&stored, facts);
    if stored == renewed {
        return Ok(());
    }
    let profiles = renewed.0.len();
    let text = serde_json::to_string_pretty(&ProfilesDocument::from(renewed));
    let text = text.map_err(|error| Fault::internal(error.to_string()))?;
    write_document(store, parameters, (bucket, environment), PROFILES, &text).await?;
    tracing::info!(profiles, "the descriptions of profiles were renewed");
    Ok(())
}
