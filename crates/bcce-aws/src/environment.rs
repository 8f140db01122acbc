//! Reads and checks environment variables.

use std::str::FromStr;

/// An error that keeps a function from starting. Lambda reports it as an init error.
#[derive(Debug)]
pub enum StartError {
    /// The variable of this name is missing or empty.
    Missing(&'static str),
    /// The variable of this name is not a whole number, or is too large.
    NotANumber(&'static str),
    /// The variable of this name is neither `true` nor `false`.
    NotTrueOrFalse(&'static str),
    /// The trust store cannot be read, for this reason.
    TrustStore(String),
    /// The Lambda runtime ended, for this reason.
    Runtime(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "the environment variable {name} is not set"),
            Self::NotANumber(name) => {
                write!(f, "the environment variable {name} must be a whole number")
            }
            Self::NotTrueOrFalse(name) => {
                write!(f, "the environment variable {name} must be `true` or `false`")
            }
            Self::TrustStore(cause) => write!(f, "the trust store cannot be used: {cause}"),
            Self::Runtime(cause) => write!(f, "the Lambda runtime ended: {cause}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Reads a variable that must be set.
///
/// # Errors
/// [`StartError::Missing`] if the variable is missing or empty.
pub fn variable(name: &'static str) -> Result<String, StartError> {
    optional_variable(name).ok_or(StartError::Missing(name))
}

/// Reads a variable. Returns `None` if it is missing or empty: an empty template parameter counts as left out.
pub fn optional_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Reads a number. Returns `None` if it is missing, empty or 0: with such a template parameter the value of the
/// configuration applies.
///
/// # Errors
/// [`StartError::NotANumber`] if the variable is not a whole number or is too large.
pub fn optional_number<N: FromStr + Default + PartialEq>(
    name: &'static str,
) -> Result<Option<N>, StartError> {
    number(name, optional_variable(name))
}

fn number<N: FromStr + Default + PartialEq>(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<N>, StartError> {
    let Some(text) = text else { return Ok(None) };
    let number: N = text.parse().map_err(|_| StartError::NotANumber(name))?;
    Ok((number != N::default()).then_some(number))
}

/// Reads a flag with `read`, which returns the text of a variable.
pub(crate) fn flag(
    name: &'static str,
    read: impl Fn(&str) -> Option<String>,
) -> Result<Option<bool>, StartError> {
    let parsed = read(name).map(|text| text.parse());
    parsed.transpose().map_err(|_| StartError::NotTrueOrFalse(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_is_reported_with_its_variable() {
        let read =
            |text: Option<&str>| number::<u32>("BCCE_RETRY_ATTEMPTS", text.map(str::to_owned));
        assert_eq!(read(Some("3")).unwrap(), Some(3));
        assert_eq!((read(Some("0")).unwrap(), read(None).unwrap()), (None, None));
        for wrong in ["three", "-1", "1.5", "4294967296"] {
            let message = read(Some(wrong)).unwrap_err().to_string();
            assert_eq!(
                message,
                "the environment variable BCCE_RETRY_ATTEMPTS must be a whole number"
            );
        }
    }
}
