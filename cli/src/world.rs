//! Gives the commands access to the terminal, the clock, standard input, random numbers and AWS.

use std::hash::{BuildHasher, Hasher};
use std::io::{IsTerminal, Read};

use bcce_aws::{SdkConfig, StartError, SystemClock, optional_variable};
use bcce_core::ports::Clock;
use time::OffsetDateTime;

use crate::exit::Outcome;

pub struct World {
    pub environment: String,
    /// True if standard output is a terminal that can be redrawn.
    pub terminal: bool,
    /// True if lines are colored.
    pub color: bool,
}

impl World {
    pub fn of_this_process(environment: String) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let (terminal, color) = capabilities(is_terminal, &optional_variable);
        Self { environment, terminal, color }
    }

    pub fn now(&self) -> OffsetDateTime {
        SystemClock.now()
    }

    /// Returns the width of the terminal in characters and its height in lines. Without a terminal, both are unlimited.
    pub fn size(&self) -> (usize, usize) {
        match terminal_size::terminal_size().filter(|_| self.terminal) {
            Some((width, height)) => (width.0.into(), height.0.into()),
            None => (usize::MAX, usize::MAX),
        }
    }

    /// Returns 16 random hex digits.
    pub fn chance(&self) -> String {
        let hasher = std::collections::hash_map::RandomState::new().build_hasher();
        format!("{:016x}", hasher.finish())
    }

    pub fn standard_input(&self) -> std::io::Result<String> {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    }

    /// Loads the configuration of the AWS SDK from the environment.
    ///
    /// # Errors
    /// The trust store cannot be read, or no region is configured.
    pub async fn sdk_config(&self) -> Outcome<SdkConfig> {
        let config = bcce_aws::chain::sdk_config().await?;
        let has_region = config.region().is_some_and(|region| !region.as_ref().is_empty());
        if has_region { Ok(config) } else { Err(StartError::Missing("AWS_REGION").into()) }
    }
}

/// Returns whether standard output can be redrawn, and whether it has colors. `variable` returns a variable of the
/// environment that is not empty.
fn capabilities(is_terminal: bool, variable: &dyn Fn(&str) -> Option<String>) -> (bool, bool) {
    let terminal = is_terminal && variable("TERM").as_deref() != Some("dumb");
    (terminal, terminal && variable("NO_COLOR").is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_need_a_terminal_that_has_them_and_nobody_who_turns_them_off() {
        let of = |is_terminal, name: &str, value: &str| {
            let variable = |asked: &str| (asked == name).then(|| value.to_owned());
            capabilities(is_terminal, &variable)
        };
        assert_eq!(of(true, "TERM", "xterm"), (true, true));
        assert_eq!(of(true, "NO_COLOR", "0"), (true, false));
        assert_eq!(of(true, "TERM", "dumb"), (false, false));
        assert_eq!(of(false, "TERM", "xterm"), (false, false));
    }
}
