//! Budgets under any order of reservations, commits, kills, turns of the window and changes of the limit. The calls
//! interleave between any two operations of the ledger, as those of different functions do.

mod ledger;
mod scenes;

use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;

use ledger::Memory;
use scenes::{Committed, Scene, play, scenes};

/// Returns the sum of what the calls of a counter have spent and still have reserved, by their own account.
fn of_calls(scene: &Scene, committed: &[Committed]) -> BTreeMap<String, [Decimal; 2]> {
    let mut sums: BTreeMap<String, [Decimal; 2]> = BTreeMap::new();
    for call in committed {
        for (counter, amount) in scene.counters(call.at).iter().zip(&call.amounts) {
            let sum = sums.entry(counter.clone()).or_default();
            match call.spent.as_ref() {
                Some(spent) => sum[0] += *spent,
                None => sum[1] += *amount,
            }
        }
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_spent_above_the_limit_and_nothing_leaks(scene in scenes()) {
        let memory = Memory::default();
        let committed = play(&scene, &memory);
        // The ledger checks after each operation that no counter is above its limit. At the end it agrees with the calls.
        let expected = of_calls(&scene, &committed);
        for (counter, state) in memory.states() {
            let [spent, reserved] = expected.get(&counter).copied().unwrap_or_default();
            prop_assert_eq!((state.spent(), state.reserved()), (spent, reserved), "{}", counter);
            let free: Decimal = state.shards.values().map(|shard| shard.free).sum();
            let root = state.root.as_ref().unwrap();
            prop_assert_eq!(root.leased, free + spent + reserved, "{} leaks", counter);
            prop_assert!(state.shards.values().all(|shard| shard.free >= Decimal::ZERO));
        }
    }

    /// Every reservation of these scenes is committed. So a call is refused only if the limit has no room in the end.
    #[test]
    fn whoever_could_be_served_is_served(scene in scenes().prop_map(Scene::without_events)) {
        let memory = Memory::default();
        let committed = play(&scene, &memory);
        for (counter, state) in memory.states() {
            let left = state.root.as_ref().unwrap().limit - state.spent() - state.reserved();
            for refused in &memory.refused(&counter) {
                prop_assert!(left < *refused, "{} was refused although {} has {}", refused, counter, left);
            }
        }
        prop_assert!(!committed.is_empty());
    }
}
