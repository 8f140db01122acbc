//! Parses the `@bulk` lines, which set the outcome of a record in a bulk job, or of the whole job.

use super::action::{Action, Does};
use super::reply::Refusal;

#[derive(Clone, Debug)]
pub enum Outcome {
    /// The request that starts the job is refused with this status, code and message.
    Refused(u16, &'static str, &'static str),
    Invalid,
    Expired,
    Never,
    Partial(usize),
    Error(u16),
    Lost,
}

impl Outcome {
    /// Parses the words of a line.
    ///
    /// # Errors
    /// A sentence for the author of the script.
    pub fn parse_all(words: &str) -> Result<Vec<Self>, String> {
        words.split(',').map(|word| Self::parse(word.trim())).collect()
    }

    fn parse(word: &str) -> Result<Self, String> {
        let known = "refused(<action of @model>), invalid, expired, never, partial(<records>), \
                     error(<status>), lost";
        let unknown = || format!("unknown outcome `{word}`, expected one of: {known}");
        let (name, argument) = match word.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')').ok_or_else(unknown)?),
            None => (word, ""),
        };
        match (name, argument) {
            ("invalid", "") => Ok(Self::Invalid),
            ("expired", "") => Ok(Self::Expired),
            ("never", "") => Ok(Self::Never),
            ("lost", "") => Ok(Self::Lost),
            ("partial", records) => records.parse().map(Self::Partial).map_err(|_| unknown()),
            ("error", status) => status.parse().map(Self::Error).map_err(|_| unknown()),
            ("refused", action) => {
                let Does::Refuse(status, code, message) = Action::parse(action)?.does else {
                    return Err(unknown());
                };
                Ok(Self::Refused(status, code, message))
            }
            _ => Err(unknown()),
        }
    }

    pub fn refusal(&self) -> Option<Refusal> {
        let Self::Refused(status, code, message) = self else { return None };
        let message = (*message).to_owned();
        Some(Refusal { status: *status, code, message, retry_after_s: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_one_word_or_more() {
        let outcomes = Outcome::parse_all("partial(3), error(429),lost").unwrap();
        assert!(matches!(outcomes[..], [Outcome::Partial(3), Outcome::Error(429), Outcome::Lost]));
        let refusal = Outcome::parse_all("refused(quota)").unwrap()[0].refusal().unwrap();
        assert_eq!((refusal.status, refusal.code), (400, "ServiceQuotaExceededException"));
    }

    #[test]
    fn a_mistake_names_the_word() {
        for (words, named) in [
            ("lots", "unknown outcome `lots`, expected one of: refused("),
            ("partial", "`partial`"),
            ("error(many)", "`error(many)`"),
            ("lost(1)", "`lost(1)`"),
            ("refused(answer)", "`refused(answer)`"),
            ("refused(qota)", "unknown action `qota`"),
            ("", "unknown outcome ``"),
        ] {
            let error = Outcome::parse_all(words).unwrap_err();
            assert!(error.contains(named), "{words}: {error}");
        }
    }
}
