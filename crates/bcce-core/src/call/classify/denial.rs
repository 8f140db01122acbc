//! Describes an access that a policy forbids: the kind of the policy, the resource and its region.
//!
//! An inference profile calls its model in regions other than its own. The message names the model in such a region,
//! but the configuration has only the region of the profile. Without advice, people look for the policy in the wrong
//! region.

/// The kinds of policies, as IAM names them in its messages.
const POLICIES: [&str; 7] = [
    "service control policy",
    "resource control policy",
    "permissions boundary",
    "session policy",
    "identity-based policy",
    "resource-based policy",
    "vpc endpoint policy",
];

/// The longest text that may be the name of a region, in characters.
const MAX_REGION_CHARS: usize = 24;

/// Returns advice if `message`, which must be in lower case, says that a policy forbids the call. Such a message is:
///
/// `User: … is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource:
/// arn:aws:bedrock:us-west-2::foundation-model/… with an explicit deny in a service control policy`
pub(super) fn advice(message: &str) -> Option<String> {
    let (_, behind) = message.split_once("on resource: ")?;
    let arn = behind.split(char::is_whitespace).next().unwrap_or(behind);
    // The rules for marketplace subscriptions have their own advice.
    if arn.contains("aws-marketplace") {
        return None;
    }
    let what = if arn.contains(":guardrail/") { "guardrail" } else { "model" };
    let place = place(arn);
    let kind = POLICIES.into_iter().find(|kind| behind.contains(kind));
    if behind.contains("explicit deny") {
        let kind = kind.map_or_else(|| "a policy".to_owned(), with_article);
        return Some(format!(
            "an explicit deny in {kind} forbids the {what} {place}; allow it there, or use a target that does not reach it"
        ));
    }
    let kind = kind.unwrap_or("policy");
    Some(format!("no {kind} allows the {what} {place}; allow it there"))
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

/// Returns the region of `arn` in words. The ARN of the model of a `global.` profile has no region.
fn place(arn: &str) -> String {
    let mut parts = arn.split(':');
    let region = match (parts.next(), parts.nth(1), parts.next()) {
        (Some("arn"), Some("bedrock"), Some(region)) => region,
        _ => return "there".to_owned(),
    };
    let is_region = region.len() <= MAX_REGION_CHARS
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match region {
        "" => "in all regions of its global profile".to_owned(),
        region if is_region => format!("in {region}"),
        _ => "there".to_owned(),
    }
}
