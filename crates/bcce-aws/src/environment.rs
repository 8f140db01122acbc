//! A function's environment, read and checked.

use std::str::FromStr;

/// Why a function cannot start. Lambda shows it as the init error.
#[derive(Debug)]
pub enum StartError {
    Missing(&'static str),
    NotANumber(&'static str),
    NotTrueOrFalse(&'static str),
    TrustStore(String),
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
/// The variable is missing or empty.
pub fn variable(name: &'static str) -> Result<String, StartError> {
    optional_variable(name).ok_or(StartError::Missing(name))
}

/// Reads a variable. Returns `None` if it is missing or empty: an empty template parameter is one that was left out.
pub fn optional_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Reads a number. Returns `None` if it is missing, empty or 0: such a template parameter leaves the matter to the
/// configuration.
///
/// # Errors
/// It is no whole number, or one that is too large.
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

/// Reads a flag. `read` is where it is read from.
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
