use super::*;

pub fn args(source: &str) -> Args {
    Args {
        warm: false,
        workflow: "explain".into(),
        source: source.into(),
        map: vec![],
        item_id: None,
        input: vec![],
        inputs: None,
        id: None,
        tag: vec![],
        model: None,
        items_may_set: vec![],
        format: None,
        mode: Mode::OnDemand,
        deadline: None,
        concurrency: None,
        tolerate: None,
        dry_run: false,
        wait: false,
        timeout: Duration::ZERO,
        json: false,
    }
}

fn place(uri: &str, format: Format, bytes: u64) -> Outcome<Place> {
    let head = Head { etag: "e".into(), bytes };
    placed("mine", &Location::parse(uri).unwrap(), format, head)
}

#[test]
fn what_the_stack_can_read_is_read_where_it_lies_and_as_it_was_met() {
    let mut request = BatchRequest::default();
    let uri = "s3://mine/batches/inbox/explain/a.csv";
    place(uri, Format::Csv, 9).unwrap().fill(&mut request);
    assert_eq!((request.batch.source.as_str(), request.batch.etag.as_deref()), (uri, Some("e")));
    assert_eq!(request.batch.format, None, "the name shows the format");
    place(uri, Format::Jsonl, 9).unwrap().fill(&mut request);
    assert_eq!(request.batch.format, Some(Format::Jsonl));
}

#[test]
fn what_it_cannot_read_is_brought_to_a_place_of_its_own() {
    let copied = place("s3://theirs/a.csv", Format::Csv, 9).unwrap();
    assert!(copied.location.to_string().starts_with("s3://mine/batches/uploads/"));
    assert!(copied.location.key.ends_with(".csv") && copied.etag.is_none());
    assert!(matches!(copied.brought, Some(Brought::Copy { etag }) if etag == "e"));
    let failure = place("s3://theirs/a.csv", Format::Csv, 6 << 30).err().unwrap();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.what.contains("6,442,450,944 bytes"), "{}", failure.what);
}
