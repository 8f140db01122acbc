//! Checks the credentials, the clock and the region.

use bcce_aws::SdkConfig;
use bcce_aws::account::{Identity, Origin};
use bcce_aws::signed::Services;
use bcce_core::base::error::Fault;
use time::{Duration, OffsetDateTime};

use super::{Check, State};
use crate::figures;

/// The deviation of the clock from which AWS refuses signatures.
const REFUSED: Duration = Duration::minutes(5);
/// The deviation of the clock that is reported.
const DOUBTFUL: Duration = Duration::minutes(1);
/// The time before the end of credentials at which it is reported.
const SOON: Duration = Duration::minutes(10);

/// The facts about the caller.
pub struct Facts {
    pub origin: Result<Origin, Fault>,
    pub identity: Result<Identity, Fault>,
    /// The time of AWS when it answered, also if it refused the credentials.
    pub server_time: Option<OffsetDateTime>,
    pub region: String,
    pub now: OffsetDateTime,
}

impl Facts {
    /// Asks AWS whose the credentials are. `origin` is where they came from; without any, nothing is asked.
    pub async fn read(
        config: &SdkConfig,
        origin: &Result<Origin, Fault>,
        now: OffsetDateTime,
    ) -> Self {
        let services = Services::new(config);
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let identity = match origin {
            Ok(_) => services.identity().await,
            Err(fault) => Err(fault.clone()),
        };
        Self { origin: origin.clone(), identity, server_time: services.server_time(), region, now }
    }
}

pub fn check(facts: &Facts) -> Vec<Check> {
    let clock = clock(facts);
    // AWS refuses the credentials of a clock that is wrong, and new ones would not help.
    if facts.identity.is_err()
        && let Some(wrong) = clock.as_ref().filter(|clock| clock.state == State::Fail)
    {
        return vec![wrong.clone()];
    }
    let mut checks = vec![caller(facts)];
    checks.extend(expiry(facts));
    checks.extend(clock);
    checks
}

fn caller(facts: &Facts) -> Check {
    let (name, sign_in) = ("credentials", "sign in again, for example with `aws sso login`");
    let origin = match &facts.origin {
        Ok(origin) => origin,
        Err(fault) => {
            let remedy =
                "set AWS_PROFILE or access keys, or sign in, for example with `aws sso login`";
            let reason = format!("no source has credentials ({})", fault.message);
            return Check::fail(name, "", reason, remedy);
        }
    };
    match &facts.identity {
        Ok(identity) => Check::pass(
            name,
            &identity.arn,
            format!(
                "from {}, account {}, region {}",
                origin.source, identity.account, facts.region
            ),
        ),
        Err(fault) if unreachable(&fault.message) => {
            let reason = format!("AWS cannot be reached in {}: {}", facts.region, fault.message);
            let remedy = "check that AWS_REGION names a region of AWS, the network, AWS_ENDPOINT_URL and the proxy";
            Check::fail("connection", origin.source, reason, remedy)
        }
        Err(fault) => {
            let reason =
                format!("AWS refuses the credentials from {}: {}", origin.source, fault.message);
            Check::fail(name, origin.source, reason, sign_in)
        }
    }
}

fn unreachable(message: &str) -> bool {
    ["no connection", "timed out", "HTTP 5"].iter().any(|part| message.contains(part))
}

fn expiry(facts: &Facts) -> Option<Check> {
    let origin = facts.origin.as_ref().ok()?;
    let left = origin.expires_at? - facts.now;
    let remedy = "renew the credentials, for example with `aws sso login`";
    let name = "credentials-expiry";
    Some(if left <= Duration::ZERO {
        Check::fail(name, origin.source, "the credentials have expired", remedy)
    } else if left < SOON {
        let reason = format!("the credentials expire in {}", figures::duration(left));
        Check::warn(name, origin.source, reason, remedy)
    } else {
        Check::pass(name, origin.source, format!("{} are left", figures::duration(left)))
    })
}

fn clock(facts: &Facts) -> Option<Check> {
    let skew = (facts.now - facts.server_time?).abs();
    let reason = format!("the clock differs by {} from that of AWS", figures::duration(skew));
    let remedy = "set the clock, for example with `sudo timedatectl set-ntp true`";
    let (name, subject) = ("clock", "this machine");
    Some(if skew >= REFUSED {
        Check::fail(name, subject, reason, remedy)
    } else if skew >= DOUBTFUL {
        Check::warn(name, subject, reason, remedy)
    } else {
        Check::pass(name, subject, "the clock agrees with that of AWS")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOON: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);

    fn facts(server: OffsetDateTime, expires_at: Option<OffsetDateTime>) -> Facts {
        let (account, arn) = ("1".into(), "arn:aws:iam::1:root".into());
        Facts {
            origin: Ok(Origin { source: "a profile", expires_at }),
            identity: Ok(Identity { account, arn }),
            server_time: Some(server),
            region: "us-east-1".into(),
            now: NOON,
        }
    }

    fn states(facts: &Facts) -> Vec<(&'static str, State)> {
        check(facts).iter().map(|check| (check.name, check.state)).collect()
    }

    #[test]
    fn valid_credentials_and_a_right_clock_are_no_finding() {
        let found = states(&facts(NOON, None));
        assert_eq!(found, [("credentials", State::Pass), ("clock", State::Pass)]);
    }

    #[test]
    fn a_wrong_clock_and_the_end_of_credentials_are_found() {
        let found = states(&facts(NOON + Duration::minutes(2), Some(NOON + Duration::minutes(5))));
        assert_eq!(found[1..], [("credentials-expiry", State::Warn), ("clock", State::Warn)]);
        let found = states(&facts(NOON - Duration::minutes(6), Some(NOON)));
        assert_eq!(found[1..], [("credentials-expiry", State::Fail), ("clock", State::Fail)]);
    }

    #[test]
    fn refused_credentials_and_a_missing_network_are_told_apart() {
        let refused = |cause: &str| {
            let identity = Err(Fault::internal(format!("sts:GetCallerIdentity: {cause}")));
            check(&Facts { identity, ..facts(NOON, None) }).remove(0)
        };
        let late = facts(NOON - Duration::minutes(9), None);
        let identity = Err(Fault::internal("sts:GetCallerIdentity: SignatureDoesNotMatch"));
        assert_eq!(states(&Facts { identity, ..late }), [("clock", State::Fail)]);
        let expired = refused("ExpiredToken");
        assert_eq!((expired.name, expired.state), ("credentials", State::Fail));
        assert!(expired.remedy.contains("aws sso login"), "{expired:?}");
        let lost = refused("no connection");
        assert_eq!((lost.name, lost.state), ("connection", State::Fail));
        assert!(lost.remedy.contains("AWS_REGION"), "{lost:?}");
    }
}
