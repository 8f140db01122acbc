//! Prints the table of `docs/failover-simulation.md`. Usage: `bcce-simulation [requests] [seed]`.

use bcce_simulation::table::table;

fn main() -> Result<(), std::num::ParseIntError> {
    let numbers: Vec<u64> =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let requests = numbers.first().copied().unwrap_or(100_000);
    let seed = numbers.get(1).copied().unwrap_or(1);
    print!("{}", table(requests, seed));
    Ok(())
}
