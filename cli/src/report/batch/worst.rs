//! Keeps the items with the highest value of something.

use bcce_core::call::attempt::Totals;
use bcce_core::run::notification::RunStatus;

/// The number of items that are kept.
pub const MOST: usize = 10;

/// An item that is worth a look.
#[derive(Clone, Debug)]
pub struct Item {
    pub id: String,
    pub run_id: String,
    pub status: RunStatus,
    pub took_ms: u64,
    pub calls: u64,
    /// The number of answers that `max_tokens` cut.
    pub truncated: u64,
    pub totals: Totals,
}

/// The items with the highest values, the highest first. Of equal values, the first that was offered stays.
#[derive(Debug)]
pub struct Worst<V>(Vec<(V, Item)>);

impl<V> Default for Worst<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V: Ord> Worst<V> {
    /// Keeps the item if its value is among the highest so far.
    pub fn offer(&mut self, value: V, item: impl Fn() -> Item) {
        let place = self.0.partition_point(|(kept, _)| *kept >= value);
        if place < MOST {
            self.0.truncate(MOST - 1);
            self.0.insert(place, (value, item()));
        }
    }

    /// Returns the items with their values, the highest first.
    pub fn items(&self) -> &[(V, Item)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_values_stay_in_their_order() {
        let mut worst = Worst::default();
        for value in [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9] {
            let item = || Item {
                id: value.to_string(),
                run_id: String::new(),
                status: RunStatus::Succeeded,
                took_ms: 0,
                calls: 1,
                truncated: 0,
                totals: Totals::default(),
            };
            worst.offer(value, item);
        }
        let kept: Vec<&str> = worst.0.iter().map(|(_, item)| item.id.as_str()).collect();
        assert_eq!(kept, ["9", "9", "8", "6", "5", "5", "5", "4", "3", "3"]);
    }
}
