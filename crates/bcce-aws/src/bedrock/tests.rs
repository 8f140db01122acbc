//! Tests of the request that a call makes.

use bcce_core::base::target::Target;
use bcce_core::call::model::{CallLimits, Repair};
use bcce_core::document::prompt::Prompt;

use super::*;

/// Returns the system blocks and the messages of a call. A cache point is written as its lifetime.
fn sent(prompt: &Prompt, cache: Option<Lasts>, repair: Option<Repair<'_>>) -> [Vec<String>; 2] {
    let target = Target {
        account: None,
        region: "us-east-1".into(),
        model_id: "us.anthropic.claude".into(),
        guardrail: None,
    };
    let limits =
        CallLimits { first_token: Duration::ZERO, stall: Duration::ZERO, attempt: Duration::ZERO };
    let parameters = &Parameters::default();
    let metadata = Default::default();
    let call = ModelCall { target: &target, prompt, repair, parameters, cache, metadata, limits };
    let config = Builder::new().region(Region::new("us-east-1")).behavior_version_latest();
    let request = request(&Client::from_conf(config.build()), &call).unwrap();
    let point = |point: &CachePointBlock| format!("<{}>", point.ttl().unwrap().as_str());
    let system = request.get_system().iter().flatten().map(|block| match block {
        SystemContentBlock::Text(text) => text.clone(),
        SystemContentBlock::CachePoint(block) => point(block),
        other => panic!("{other:?}"),
    });
    let messages = request.get_messages().iter().flatten().flat_map(|message| message.content());
    let messages = messages.map(|block| match block {
        ContentBlock::Text(text) => text.clone(),
        ContentBlock::CachePoint(block) => point(block),
        other => panic!("{other:?}"),
    });
    [system.collect(), messages.collect()]
}

fn prompt() -> Prompt {
    Prompt {
        system: Some("sys".into()),
        data_rule: Some("rule".into()),
        user: "book question".into(),
        system_ends: vec![3],
        user_ends: vec![5],
    }
}

#[test]
fn each_cached_prefix_ends_with_a_cache_point() {
    let [system, user] = sent(&prompt(), Some(Lasts::Hour), None);
    assert_eq!(system, ["sys", "<1h>", "rule"]);
    assert_eq!(user, ["book ", "<1h>", "question"]);
    let [system, user] = sent(&prompt(), None, None);
    assert_eq!((system, user), (vec!["sys".into(), "rule".into()], vec!["book question".into()]));
}

/// The prefix of a repair is that of the first call, so it is read from the cache.
#[test]
fn a_repair_follows_the_same_blocks() {
    let repair = Repair { answer: "no", fault: "is not JSON" };
    let [_, user] = sent(&prompt(), Some(Lasts::FiveMinutes), Some(repair));
    assert_eq!(user[..4], ["book ", "<5m>", "question", "no"]);
    assert!(user[4].contains("is not JSON"), "{user:?}");
}
