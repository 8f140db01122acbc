//! Amounts and counts, formatted for people.

use rust_decimal::{Decimal, RoundingStrategy};

/// Formats an amount in USD, such as `$104.22`. The amount is rounded up to a cent, or to a hundredth of a cent if it
/// is below one cent.
pub fn dollars(usd: Decimal) -> String {
    let places = if usd < Decimal::new(1, 2) { 4 } else { 2 };
    let rounded = usd.round_dp_with_strategy(places, RoundingStrategy::AwayFromZero);
    format!("${rounded:.*}", places as usize)
}

/// Formats a count with commas, such as `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_rounded_up_and_counts_have_commas() {
        assert_eq!(dollars(Decimal::new(1_042_113, 4)), "$104.22");
        assert_eq!(dollars(Decimal::new(5, 0)), "$5.00");
        assert_eq!(dollars(Decimal::new(31, 5)), "$0.0004");
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
