//! A period of whole days in UTC.

use time::{Date, Duration, Month};

use crate::values::day;

/// The longest period in days. Each day takes at least sixteen reads of the ledger.
const MAX_DAYS: i64 = 400;

/// A period as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The last days, today included.
    Last(i64),
    Yesterday,
    Month(i32, Month),
    Days(Date, Date),
}

/// The days of a period, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: Date,
    pub to: Date,
}

/// Parses a period such as `7d`, `today`, `yesterday`, `2026-11`, `2026-11-03` or `2026-11-01..2026-11-15`.
pub fn parse(given: &str) -> Result<Written, String> {
    let wrong = || {
        "must be a number of days such as 7d, today, yesterday, a month such as 2026-11, a day such as 2026-11-03, or \
         two days such as 2026-11-01..2026-11-15"
            .to_owned()
    };
    match given {
        "today" => return Ok(Written::Last(1)),
        "yesterday" => return Ok(Written::Yesterday),
        _ => {}
    }
    if let Some(days) = given.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()) {
        let is_possible = (1..=MAX_DAYS).contains(&days);
        return if is_possible {
            Ok(Written::Last(days))
        } else {
            Err(format!("must have 1 to {MAX_DAYS} days"))
        };
    }
    if let Some((from, to)) = given.split_once("..") {
        let (from, to) = (day(from).ok_or_else(wrong)?, day(to).ok_or_else(wrong)?);
        return match (to - from).whole_days() {
            ..0 => Err(format!("ends on {to}, before it starts on {from}")),
            MAX_DAYS.. => Err(format!("must have 1 to {MAX_DAYS} days")),
            _ => Ok(Written::Days(from, to)),
        };
    }
    if let Some(day) = day(given) {
        return Ok(Written::Days(day, day));
    }
    month(given).ok_or_else(wrong)
}

fn month(given: &str) -> Option<Written> {
    let first = day(&format!("{given}-01"))?;
    Some(Written::Month(first.year(), first.month()))
}

impl Written {
    /// Returns the days of the period, until `today` at most.
    ///
    /// # Errors
    /// A message if the period starts after `today`.
    pub fn until(&self, today: Date) -> Result<Period, String> {
        let (from, to) = match *self {
            Self::Last(days) => (today - Duration::days(days - 1), today),
            Self::Yesterday => (today - Duration::DAY, today - Duration::DAY),
            Self::Month(year, month) => {
                let first = Date::from_calendar_date(year, month, 1).unwrap_or(today);
                (first, first + Duration::days(i64::from(month.length(year)) - 1))
            }
            Self::Days(from, to) => (from, to),
        };
        if from > today {
            return Err(format!(
                "the period starts on {from}, which is after today, {today} in UTC"
            ));
        }
        Ok(Period { from, to: to.min(today) })
    }
}

impl Period {
    /// Returns the days, oldest first.
    pub fn days(self) -> impl Iterator<Item = Date> + Clone {
        std::iter::successors(Some(self.from), |day| day.next_day())
            .take_while(move |day| *day <= self.to)
    }

    /// Returns the period of as many days that ends on the day before this one.
    pub fn before(self) -> Self {
        let days = self.to - self.from + Duration::DAY;
        Self { from: self.from - days, to: self.to - days }
    }
}

/// Formats a period: `2026-11-01 to 2026-11-07 (7 days, UTC)`.
impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to } = self;
        match self.days().count() {
            1 => write!(f, "{from} (UTC)"),
            days => write!(f, "{from} to {to} ({days} days, UTC)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    const TODAY: Date = date!(2026 - 11 - 15);

    fn read(given: &str) -> Result<String, String> {
        parse(given)?.until(TODAY).map(|period| period.to_string())
    }

    #[test]
    fn a_period_has_whole_days_and_ends_today_at_most() {
        for (given, expected) in [
            ("7d", "2026-11-09 to 2026-11-15 (7 days, UTC)"),
            ("1d", "2026-11-15 (UTC)"),
            ("today", "2026-11-15 (UTC)"),
            ("yesterday", "2026-11-14 (UTC)"),
            ("2026-11", "2026-11-01 to 2026-11-15 (15 days, UTC)"),
            ("2026-02", "2026-02-01 to 2026-02-28 (28 days, UTC)"),
            ("2026-11-03", "2026-11-03 (UTC)"),
            ("2026-10-31..2026-12-24", "2026-10-31 to 2026-11-15 (16 days, UTC)"),
        ] {
            assert_eq!(read(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn a_period_that_makes_no_sense_is_refused() {
        for (given, expected) in [
            ("0d", "must have 1 to 400 days"),
            ("401d", "must have 1 to 400 days"),
            ("-1d", "must have 1 to 400 days"),
            (
                "2026-11-16",
                "the period starts on 2026-11-16, which is after today, 2026-11-15 in UTC",
            ),
            ("2026-12", "the period starts on 2026-12-01, which is after today, 2026-11-15 in UTC"),
            ("2026-11-02..2026-11-01", "ends on 2026-11-01, before it starts on 2026-11-02"),
            ("2024-01-01..2026-01-01", "must have 1 to 400 days"),
        ] {
            assert_eq!(read(given), Err(expected.to_owned()), "{given}");
        }
        for given in [
            "",
            "d",
            "7",
            "7h",
            "2026",
            "2026-13",
            "2026-02-30",
            "..",
            "2026-11-01..",
            "-9999-01-01",
            "é",
        ] {
            let cause = read(given).unwrap_err();
            assert!(cause.starts_with("must be a number of days such as 7d"), "{given}: {cause}");
        }
    }

    #[test]
    fn the_period_before_has_as_many_days() {
        let period = Period { from: date!(2026 - 11 - 08), to: date!(2026 - 11 - 14) };
        assert_eq!(period.before().to_string(), "2026-11-01 to 2026-11-07 (7 days, UTC)");
        assert_eq!(period.days().count(), 7);
    }
}
