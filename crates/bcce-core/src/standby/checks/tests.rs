use time::macros::datetime;

use super::*;
use crate::config::policy::DataRetention;
use crate::config::profiles::Profile;
use crate::document::from_yaml;
use crate::standby::facts::ModelFacts;
use crate::standby::quotas::Quota;

const NOW: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);
const MODELS: &str = include_str!("../../../../../infra/config/dev/models.yaml");
const POLICY: &str = include_str!("../../../../../infra/config/dev/policy.yaml");
const PRICES: &str = include_str!("../../../../../infra/config/dev/prices.yaml");

/// Checks the first target of `haiku` with these facts and documents.
fn found(
    facts: TargetFacts,
    change: impl Fn(&mut Policy, &mut Prices, &mut Profiles),
) -> Vec<Finding> {
    let models: Models = from_yaml(MODELS).finished().unwrap();
    let mut policy: Policy = from_yaml(POLICY).finished().unwrap();
    let mut prices: Prices = from_yaml(PRICES).finished().unwrap();
    let mut profiles = Profiles::default();
    change(&mut policy, &mut prices, &mut profiles);
    let max_tokens = [("haiku".to_owned(), 4_000)].into();
    let rules = Rules {
        policy: &policy,
        prices: &prices,
        profiles: &profiles,
        max_tokens: &max_tokens,
        now: NOW,
    };
    rules.check(&watched(&models)[0], &facts)
}

fn one(facts: TargetFacts) -> (Level, Check, String, String) {
    let mut found = found(facts, |_, _, _| {});
    assert_eq!(found.len(), 1, "{found:?}");
    let Finding { level, check, cause, remedy, .. } = found.remove(0);
    (level, check, cause, remedy)
}

fn model(change: impl FnOnce(&mut ModelFacts)) -> TargetFacts {
    let mut facts =
        ModelFacts { started_at: Some(datetime!(2026-10-07 17:00 UTC)), ..ModelFacts::default() };
    change(&mut facts);
    TargetFacts { model: Some(Ok(facts)), ..TargetFacts::default() }
}

fn profile(regions: &[&str]) -> TargetFacts {
    let (region, id) = ("us-east-1".to_owned(), "us.anthropic.claude-haiku-5-5".to_owned());
    let regions = regions.iter().map(|region| region.to_string()).collect();
    let profile = Profile { region, id, model: "anthropic.claude-haiku-5-5".into(), regions };
    TargetFacts { profile: Some(Ok(profile)), ..TargetFacts::default() }
}

fn quota(name: &str, value: f64) -> TargetFacts {
    let name =
        format!("Cross-region model inference {name} per minute for Anthropic Claude Haiku 5.5");
    let quota = Quota { name, code: "L-1".into(), value };
    TargetFacts { quotas: Some(vec![quota]), ..TargetFacts::default() }
}

#[test]
fn each_target_is_watched_once_with_its_aliases() {
    let text = "version: 1\nmodels:\n  a: &a { takes: { max_output_tokens: 9 }, targets: [{ region: us-east-1, model_id: us.anthropic.c }] }\n  b: *a\n";
    let models: Models = from_yaml(text).finished().unwrap();
    let all = watched(&models);
    assert_eq!((all.len(), &all[0].aliases[..]), (1, &["a".to_owned(), "b".to_owned()][..]));
}

#[test]
fn a_healthy_target_has_no_finding() {
    let facts = TargetFacts {
        access: Some(Access {
            agreement: Agreement::Accepted,
            is_authorized: true,
            is_entitled: true,
            is_in_region: true,
        }),
        profile: profile(&["us-east-1", "us-east-2", "us-west-2"]).profile,
        retention: Some(DataRetention::Default),
        quotas: quota("tokens", 1e6).quotas,
        ..model(|model| model.ends_at = Some(datetime!(2027-11-30 0:00 UTC)))
    };
    assert_eq!(found(facts, |_, _, _| {}), []);
    assert_eq!(found(TargetFacts::default(), |_, _, _| {}), []);
}

#[test]
fn the_end_of_a_model_is_reported_before_it_comes() {
    let (level, check, cause, remedy) =
        one(model(|model| model.ends_at = Some(NOW + time::Duration::days(40))));
    assert_eq!((level, check), (Level::Fail, Check::EndOfLife));
    assert_eq!(cause, "the model reaches the end of its life on 2027-01-09, in 40 days");
    assert!(remedy.contains("models.yaml"));
    assert_eq!(
        found(model(|model| model.ends_at = Some(NOW + time::Duration::days(46))), |_, _, _| {}),
        []
    );
    let gone = one(model(|model| model.ends_at = Some(NOW)));
    assert_eq!(gone.2, "the model reached the end of its life on 2026-11-30");
}

#[test]
fn a_legacy_model_is_a_warning() {
    let (level, check, cause, _) = one(model(|model| {
        model.is_legacy = true;
        model.extended_at = Some(NOW);
        model.ends_at = Some(datetime!(2027-06-01 0:00 UTC));
    }));
    assert_eq!((level, check), (Level::Warn, Check::Lifecycle));
    assert_eq!(
        cause,
        "the model is legacy and costs more than the price file says, and ends on 2027-06-01"
    );
}

#[test]
fn a_price_that_is_older_than_its_model_is_reported_and_so_is_a_missing_one() {
    let older = model(|model| model.started_at = Some(datetime!(2026-10-15 0:00 UTC)));
    let (_, check, cause, _) = one(older);
    assert_eq!(check, Check::Price);
    assert_eq!(
        cause,
        "the price of anthropic.claude-haiku-5-5 is from 2026-10-07, and the model is on Bedrock since 2026-10-15"
    );
    let days_apart = model(|model| model.started_at = Some(datetime!(2026-10-14 0:00 UTC)));
    assert_eq!(found(days_apart, |_, _, _| {}), []);
    let missing = found(TargetFacts::default(), |_, prices, _| {
        prices.models.remove("anthropic.claude-haiku-5-5");
    });
    assert!(missing[0].cause.contains("no price of anthropic.claude-haiku-5-5"), "{missing:?}");
}

#[test]
fn a_quota_of_0_and_one_below_max_tokens_are_reported() {
    let (_, check, cause, remedy) = one(quota("requests", 0.0));
    assert_eq!(check, Check::Quota);
    assert!(cause.contains("is 0 in us-east-1"), "{cause}");
    assert!(remedy.contains("--quota-code L-1"), "{remedy}");
    let (_, check, cause, _) = one(quota("tokens", 3_999.0));
    assert_eq!(check, Check::MaxTokens);
    assert!(cause.contains("`max_tokens: 4000`, and the quota is 3,999"), "{cause}");
    assert_eq!(found(quota("tokens", 4_000.0), |_, _, _| {}), []);
}

#[test]
fn a_profile_that_reaches_further_than_the_policy_is_reported() {
    let further = profile(&["us-east-1", "us-east-2", "us-west-2", "ca-central-1"]);
    let all = found(further.clone(), |_, _, _| {});
    assert_eq!((all[0].level, all[0].check), (Level::Fail, Check::Residency));
    assert!(all[0].cause.contains("may reach ca-central-1"), "{}", all[0].cause);
    assert_eq!((all[1].level, all[1].check), (Level::Warn, Check::Reach));
    assert!(all[1].cause.contains("and the built-in table has us-east-1, us-east-2, us-west-2"));
    // The documents forbid the target by themselves, so nobody relies on it.
    let known = found(TargetFacts::default(), |policy, _, _| policy.allowed_regions.truncate(1));
    assert_eq!((known[0].level, known[0].check), (Level::Warn, Check::Residency));
    let stored = found(further.clone(), |policy, _, profiles| {
        policy.allowed_regions.push("ca-central-1".into());
        profiles.0.extend(further.profile.clone().unwrap().ok());
    });
    assert_eq!(stored, [], "the stack knows it and allows it");
}

#[test]
fn a_model_profile_or_guardrail_that_is_missing_is_reported() {
    let missing = |facts| {
        let (level, check, cause, remedy) = one(facts);
        assert_eq!(level, Level::Fail);
        assert!(cause.ends_with("not found") && remedy.contains("config push"), "{cause} {remedy}");
        check
    };
    let no = || "not found".to_owned();
    assert_eq!(missing(TargetFacts { model: Some(Err(no())), ..Default::default() }), Check::Model);
    assert_eq!(
        missing(TargetFacts { profile: Some(Err(no())), ..Default::default() }),
        Check::Profile
    );
    // The target has no guardrail, so nothing is asked about one.
    let none =
        found(TargetFacts { guardrail: Some(Err(no())), ..Default::default() }, |_, _, _| {});
    assert_eq!(none, []);
}

#[test]
fn access_that_is_missing_in_any_way_is_reported() {
    let whole = Access {
        agreement: Agreement::Accepted,
        is_authorized: true,
        is_entitled: true,
        is_in_region: true,
    };
    let with = |access: Access| one(TargetFacts { access: Some(access), ..Default::default() });
    let missing = with(Access { agreement: Agreement::Missing, ..whole.clone() });
    assert_eq!((missing.0, missing.1), (Level::Fail, Check::Access));
    assert!(missing.3.contains("create-foundation-model-agreement"));
    assert_eq!(with(Access { agreement: Agreement::Pending, ..whole.clone() }).0, Level::Warn);
    assert!(with(Access { is_authorized: false, ..whole.clone() }).2.contains("may not call"));
    assert!(with(Access { is_entitled: false, ..whole.clone() }).2.contains("is not entitled"));
    assert_eq!(with(Access { is_in_region: false, ..whole }).1, Check::Model);
}

#[test]
fn the_data_retention_is_compared_with_the_policy_if_that_names_any() {
    let shared =
        TargetFacts { retention: Some(DataRetention::ProviderDataShare), ..Default::default() };
    assert_eq!(found(shared.clone(), |_, _, _| {}), []);
    let refused = found(shared, |policy, _, _| policy.data_retention = vec![DataRetention::None]);
    assert_eq!((refused[0].level, refused[0].check), (Level::Fail, Check::Retention));
    assert!(refused[0].remedy.contains("put-account-data-retention --mode none"));
}
