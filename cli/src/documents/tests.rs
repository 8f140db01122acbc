use bcce_core::config::documents::Pointer;
use bcce_core::fakes::MemoryStore;

use super::*;

const POLICY: &str = include_str!("../../../infra/config/dev/policy.yaml");
const EXPLAIN: &str = include_str!("../../../infra/config/dev/workflows/explain.yaml");

pub fn document(name: &str, text: &str, state: State) -> Document {
    Document {
        file: format!("{name}.yaml"),
        name: name.into(),
        parameter: parameter_name("dev", name),
        text: text.into(),
        state,
    }
}

#[tokio::test]
async fn what_is_kept_is_the_text_or_the_reason_why_it_cannot_be_had() {
    let store = MemoryStore::with([
        ("config/right".into(), b"version: 1\n".to_vec()),
        ("config/changed".into(), b"version: 2\n".to_vec()),
        ("config/binary".into(), vec![0xff]),
    ]);
    let pointer = |bucket: &str, key: &str, body: &[u8]| {
        serde_json::to_string(&Pointer::to(bucket, key, body)).unwrap()
    };
    let right = b"version: 1\n";
    #[rustfmt::skip]
    let table = [
        ("version: 1\n".to_owned(), Ok("version: 1\n")),
        (r#"{"version": 1}"#.to_owned(), Ok(r#"{"version": 1}"#)),
        (pointer("b", "config/right", right), Ok("version: 1\n")),
        (pointer("b", "config/gone", right), Err("uri: there is no config/gone")),
        (pointer("b", "config/changed", right), Err("sha256: config/changed has the digest 16e0d1afd6e96036b776ab20684da35f075c50d6f3c0fd599ddc8218ebbdfb56, not the one in the pointer")),
        (pointer("b", "config/binary", &[0xff]), Err("document: config/binary is not UTF-8 from byte 0 on")),
        (pointer("theirs", "config/right", right), Err("uri: must lie in s3://b/")),
        (r#"{"uri": "s3://b/config/right"}"#.to_owned(), Err("document: invalid pointer: expected exactly `uri` and `sha256`")),
    ];
    for (value, expected) in table {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(kept(&store, "b", &value).await, Ok(expected), "{value}");
    }
    // An error of S3 does not mean that the document is broken.
    store.failing.set(1);
    assert!(kept(&store, "b", &pointer("b", "config/right", right)).await.is_err());
}

#[test]
fn each_document_is_compared_by_its_text() {
    let state = |kept| state("workflows/explain.yaml", EXPLAIN, kept);
    assert_eq!(state(None), State::New);
    assert_eq!(state(Some(Ok(EXPLAIN.into()))), State::Unchanged);
    let other = format!("{EXPLAIN}# Once more.\n");
    assert_eq!(state(Some(Ok(other.clone()))), State::Changed(other));
    let gone = "uri: there is no config/x";
    assert_eq!(state(Some(Err(gone.into()))), State::Broken { cause: gone.into(), text: None });
}

#[test]
fn a_text_that_no_run_can_be_planned_with_is_broken() {
    let wrong = "allowed: everything\n";
    let State::Broken { cause, text } = state("policy.yaml", POLICY, Some(Ok(wrong.into()))) else {
        panic!("it is not broken");
    };
    assert!(cause.starts_with("allowed: is unknown; there are: version, allowed_"), "{cause}");
    assert_eq!(text.as_deref(), Some(wrong));
}

#[test]
fn a_workflow_without_a_file_is_left() {
    let kept = |name: &str, kept: Kept| (parameter_name("dev", name), kept);
    let gone = || Err("uri: there is no config/x".to_owned());
    let current = [
        kept("policy", Ok(POLICY.into())),
        kept("workflows/old", Ok(EXPLAIN.into())),
        kept("workflows/older", gone()),
    ];
    let files = Texts::from([("policy.yaml".into(), POLICY.into())]);
    let comparison = compare("dev", &files, current.into());
    assert_eq!(comparison.differing(), 0);
    let left = [("workflows/old", None), ("workflows/older", gone().err())];
    assert_eq!(comparison.left, left.map(|(name, cause)| (parameter_name("dev", name), cause)));
}
