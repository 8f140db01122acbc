//! Parses values of options and arguments.

use std::time::Duration;

use bcce_core::base::error::Problems;
use bcce_core::base::limits::MAX_ID_BYTES;
use bcce_core::base::names::check_name;
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};

/// Parses a name, such as the name of an environment.
pub fn name(given: &str) -> Result<String, String> {
    let mut problems = Problems::default();
    check_name(&mut problems, "it", given);
    problems.none_or(given.to_owned()).map_err(|problems| problems.to_string())
}

/// Parses what may name a run or a batch: an id, its beginning or a request id.
pub fn reference(given: &str) -> Result<String, String> {
    let is_one = (1..=MAX_ID_BYTES).contains(&given.len()) && !given.contains(char::is_control);
    is_one
        .then(|| given.to_owned())
        .ok_or_else(|| format!("must have 1 to {MAX_ID_BYTES} bytes and no control characters"))
}

/// Parses a full run id.
pub fn run_id(given: &str) -> Result<String, String> {
    let parts = given.rsplit_once('-');
    let is_hex = |hash: &str| {
        hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    match parts {
        Some((workflow, hash)) if is_hex(hash) && name(workflow).is_ok() => Ok(given.to_owned()),
        _ => Err("must be <workflow>-<32 hex digits>; `bcce runs list` shows the run ids".into()),
    }
}

/// Parses a full batch id.
pub fn batch_id(given: &str) -> Result<String, String> {
    let parts = given.rsplit_once("-batch-");
    let is_id = parts.is_some_and(|(workflow, hash)| {
        name(workflow).is_ok() && run_id(&format!("batch-{hash}")).is_ok()
    });
    if is_id {
        Ok(given.to_owned())
    } else {
        Err("must be <workflow>-batch-<32 hex digits>; `bcce batch list` shows the batch ids"
            .into())
    }
}

/// Parses a duration with a unit, such as `90s`, `30m` or `2h`.
pub fn duration(given: &str) -> Result<Duration, String> {
    let wrong = || "must be a number followed by s, m or h, such as 90s, 30m or 2h".to_owned();
    let unit = given.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(wrong()),
    };
    let count: u64 = given[..given.len() - 1].parse().map_err(|_| wrong())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Parses a day such as `2026-11-03`.
pub fn day(given: &str) -> Option<Date> {
    let day = Date::parse(given, format_description!("[year]-[month]-[day]")).ok();
    // There are no records of earlier years, and a period before the first possible day would be none.
    day.filter(|day| day.year() >= 2000)
}

/// A point in time as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Ago(Duration),
    At(OffsetDateTime),
}

impl Moment {
    pub fn at(self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            // A time before all records will do if the subtraction is impossible.
            Self::Ago(ago) => time::Duration::try_from(ago)
                .ok()
                .and_then(|ago| now.checked_sub(ago))
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
            Self::At(at) => at,
        }
    }
}

/// Parses a time ago such as `90s`, `30m`, `2h` or `7d`, or a date or a time in UTC such as `2026-11-03`,
/// `2026-11-03T12:30` or `2026-11-03T12:30:00Z`.
pub fn moment(given: &str) -> Result<Moment, String> {
    if let Some(days) = given.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
        return Ok(Moment::Ago(Duration::from_secs(u64::from(days) * 86_400)));
    }
    if let Ok(ago) = duration(given) {
        return Ok(Moment::Ago(ago));
    }
    if let Some(day) = day(given) {
        return Ok(Moment::At(day.with_time(Time::MIDNIGHT).assume_utc()));
    }
    let minutes = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let seconds = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let utc = PrimitiveDateTime::parse(given, minutes)
        .or_else(|_| PrimitiveDateTime::parse(given, seconds))
        .map(PrimitiveDateTime::assume_utc);
    let at = utc.or_else(|_| OffsetDateTime::parse(given, &Rfc3339));
    at.map(Moment::At).map_err(|_| {
        "must be a time ago such as 90s, 30m, 2h or 7d, or a date or time in UTC such as 2026-11-03 or 2026-11-03T12:30"
            .to_owned()
    })
}

/// Parses a tag, `<name>=<value>`.
pub fn tag(given: &str) -> Result<(String, String), String> {
    match given.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be <name>=<value>, such as team=payments".into()),
    }
}

/// Parses an amount of money in USD.
pub fn amount(given: &str) -> Result<Decimal, String> {
    let amount = given.parse().ok().filter(|amount: &Decimal| !amount.is_sign_negative());
    amount.ok_or_else(|| "must be an amount in USD, such as 0.50".into())
}

/// Parses a variant of `T` by its name in JSON. `words` lists the valid names for the error message.
pub fn word<T: DeserializeOwned>(given: &str, words: &str) -> Result<T, String> {
    serde_json::from_value(given.into()).map_err(|_| format!("must be one of {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1_800)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in ["", "30", "m", "1d", "-1s", "99999999999999999999h", "5é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_is_a_time_ago_or_a_time_in_utc() {
        let now = datetime!(2026-11-15 12:00 UTC);
        for (given, expected) in [
            ("90s", datetime!(2026-11-15 11:58:30 UTC)),
            ("7d", datetime!(2026-11-08 12:00 UTC)),
            ("2026-11-03", datetime!(2026-11-03 0:00 UTC)),
            ("2026-11-03T12:30", datetime!(2026-11-03 12:30 UTC)),
            ("2026-11-03T12:30:01", datetime!(2026-11-03 12:30:01 UTC)),
            ("2026-11-03T12:30:01+02:00", datetime!(2026-11-03 10:30:01 UTC)),
            ("4294967295d", OffsetDateTime::UNIX_EPOCH),
        ] {
            assert_eq!(moment(given).map(|moment| moment.at(now)), Ok(expected), "{given}");
        }
        for wrong in ["", "d", "7", "-7d", "2026-11", "2026-13-01", "12:30", "tomorrow"] {
            assert!(moment(wrong).unwrap_err().contains("such as 90s"), "{wrong}");
        }
    }

    #[test]
    fn tags_and_amounts_that_make_no_sense_are_refused() {
        assert_eq!(tag("team="), Ok(("team".into(), String::new())));
        assert!(tag("team").is_err() && tag("=x").is_err());
        assert_eq!(amount("0.50"), Ok(Decimal::new(50, 2)));
        assert!(amount("-1").is_err() && amount("$1").is_err());
    }

    #[test]
    fn a_batch_id_is_a_whole_one() {
        assert!(batch_id("explain-batch-f7ba4ad77505bd08f0457f0dca60c468").is_ok());
        for wrong in ["explain-f7ba4ad77505bd08f0457f0dca60c468", "-batch-f7", "explain-batch-", ""]
        {
            assert!(batch_id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reference_is_any_request_id() {
        assert!(reference("order 7/é").is_ok());
        for wrong in [String::new(), "x".repeat(257), "a\u{1b}[2J".into()] {
            assert!(reference(&wrong).unwrap_err().contains("1 to 256 bytes"), "{wrong}");
        }
    }

    #[test]
    fn a_run_id_is_a_whole_one() {
        assert!(run_id("explain-f7ba4ad77505bd08f0457f0dca60c468").is_ok());
        for wrong in [
            "explain-f7ba4ad7",
            "f7ba4ad77505bd08f0457f0dca60c468",
            "a/b-f7ba4ad77505bd08f0457f0dca60c468",
            "",
        ] {
            assert!(run_id(wrong).is_err(), "{wrong}");
        }
    }
}
