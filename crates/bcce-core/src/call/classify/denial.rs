//! An access that a policy forbids: which kind of policy, and in which region.
//!
//! An inference profile calls its model in another region than its own, and the message names the model there. Who
//! only knows the profile looks for the fault in the wrong region.

/// Kinds of policies, as IAM names them in its messages.
const POLICIES: [&str; 7] = [
    "service control policy",
    "resource control policy",
    "permissions boundary",
    "session policy",
    "identity-based policy",
    "resource-based policy",
    "vpc endpoint policy",
];

/// Longer than the name of any region.
const MAX_REGION_CHARS: usize = 24;

/// Returns advice where `message`, in lower case, says that a policy forbids the call; else `None`.
///
/// `User: … is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource:
/// arn:aws:bedrock:us-west-2::foundation-model/… with an explicit deny in a service control policy`
pub(super) fn advice(message: &str) -> Option<String> {
    let (_, behind) = message.split_once("on resource: ")?;
    let arn = behind.split(char::is_whitespace).next().unwrap_or(behind);
    // What a subscription lacks is not a matter of the model's policies.
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

/// Says where the resource of `arn` lies. The model of a `global.` profile lies in no region.
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
