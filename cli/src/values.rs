//! Parses values of options and arguments.

use std::time::Duration;

use bcce_core::base::error::Problems;
use bcce_core::base::names::check_name;
use serde::de::DeserializeOwned;

/// Parses a name, such as the name of an environment.
pub fn name(given: &str) -> Result<String, String> {
    let mut problems = Problems::default();
    check_name(&mut problems, "it", given);
    problems.none_or(given.to_owned()).map_err(|problems| problems.to_string())
}

/// Parses a full run id. An abbreviated id is refused because it could be ambiguous.
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

/// Parses a variant of `T` by its name in JSON. `words` lists the valid names for the error message.
pub fn word<T: DeserializeOwned>(given: &str, words: &str) -> Result<T, String> {
    serde_json::from_value(given.into()).map_err(|_| format!("must be one of {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1_800)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in ["", "30", "m", "1d", "-1s", "99999999999999999999h", "5é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
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
