use super::*;
use bcce_aws::dynamodb::listing::ListingKey;
use clap::Parser;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-15 12:00 UTC);

#[derive(clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    filter: Filter,
}

fn filter(options: &[&str]) -> Filter {
    CommandLine::try_parse_from(["list"].iter().chain(options)).unwrap().filter
}

#[test]
fn the_options_become_times_and_conditions() {
    let search = filter(&["--workflow", "w", "--tenant", "t", "--older-than", "2h"])
        .search(Some("FAILED"), NOW)
        .unwrap();
    assert_eq!(search.since, datetime!(2026-11-09 0:00 UTC));
    assert_eq!(search.before, Some(datetime!(2026-11-15 10:00 UTC)));
    let expected = [("workflow", "w"), ("tenant", "t"), ("status", "FAILED")];
    assert_eq!(search.conditions, expected.map(|(name, value)| Condition::equals(name, value)));
    let since = filter(&["--since", "90m"]).search(None, NOW).unwrap().since;
    assert_eq!(since, datetime!(2026-11-15 10:30 UTC));
}

#[test]
fn times_that_exclude_everything_are_refused_by_name() {
    for (options, expected) in [
        (&["--since", "2026-11-16"][..], "--since: 2026-11-16 00:00:00Z is after now"),
        (&["--since", "367d"], "--since: 2025-11-13 12:00:00Z is more than 366 days ago"),
        (
            &["--since", "2h", "--older-than", "3h"],
            "--older-than: 2026-11-15 09:00:00Z is not after",
        ),
        (&["--older-than", "30d"], "--older-than: 2026-10-16 12:00:00Z is not after"),
    ] {
        let failure = filter(options).search(None, NOW).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.what.starts_with(expected), "{}", failure.what);
    }
}

#[test]
fn the_last_note_has_the_cursor() {
    let [pk, sk] = ["run#r", "attempt#1"].map(str::to_owned);
    let key = ListingKey { started_at: "2026-11-01T12:00:00Z".into(), pk, sk };
    let mut found: Found<()> = Found {
        records: vec![],
        next: Some(Cursor::after(&key)),
        is_cut: false,
        unreadable: vec![],
    };
    let next = "next page: --cursor 2026-11-01T12:00:00Z/run#r/attempt#1";
    assert_eq!(notes(&found, "runs"), [next]);
    (found.is_cut, found.unreadable) = (true, ["run#a 1", "run#b 1"].map(str::to_owned).to_vec());
    let all = notes(&found, "runs");
    assert!(
        all[0].contains("2 items of the ledger") && all[0].ends_with("such as run#a 1"),
        "{}",
        all[0]
    );
    assert!(all[1].contains("started at 2026-11-01T12:00:00Z or earlier were not searched"));
    assert_eq!(all[2], next);
    found.next = None;
    assert_eq!(notes(&found, "runs").len(), 1);
}
