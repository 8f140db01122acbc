//! Shortens the names of targets as far as they stay distinct.

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::base::target::Target;

/// The short names of targets by `<model id> in <region>`, which is how a decision names its candidates. The short name
/// is the region if only one model is called there.
#[derive(Debug)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Shortens the names of these targets.
    pub fn of<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let mut models: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for target in targets {
            models.entry(&target.region).or_default().insert(&target.model_id);
        }
        let named = models.iter().flat_map(|(region, models)| {
            models.iter().map(move |model| {
                let full = format!("{model} in {region}");
                let short = if models.len() == 1 { region.to_string() } else { full.clone() };
                (full, short)
            })
        });
        Self(named.collect())
    }

    /// Returns the short name of a candidate.
    pub fn short<'a>(&'a self, candidate: &'a str) -> &'a str {
        self.0.get(candidate).map_or(candidate, String::as_str)
    }

    /// Returns the short name of a target, with the account role of the call if there is one.
    pub fn target(&self, target: &Target) -> String {
        let full = target.to_string();
        let account = target.account.as_deref().map(|account| format!(" as {account}"));
        format!("{}{}", self.short(&full), account.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_alone_is_enough_where_one_model_is_asked_in_it() {
        let target = |region: &str, model: &str, account: Option<&str>| Target {
            account: account.map(str::to_owned),
            region: region.into(),
            model_id: model.into(),
            guardrail: None,
        };
        let all = [
            target("us-east-1", "us.m", None),
            target("us-west-2", "us.m", Some("arn:aws:iam::1:role/r")),
            target("us-west-2", "us.n", None),
        ];
        let names = Names::of(&all);
        assert_eq!(
            all.each_ref().map(|target| names.target(target)),
            ["us-east-1", "us.m in us-west-2 as arn:aws:iam::1:role/r", "us.n in us-west-2"]
        );
        assert_eq!(names.short("us.m in us-east-1"), "us-east-1");
        assert_eq!(names.short("x in y"), "x in y");
    }
}
