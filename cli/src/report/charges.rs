//! The table of what AWS charges besides tokens.

use bcce_core::base::platform::PlatformUse;
use maud::{Markup, html};

use crate::figures;
use crate::metrics::platform::PlatformPrices;

/// Returns the count and the cost of each kind, the dearest first.
pub fn table(prices: &PlatformPrices, taken: &PlatformUse) -> Markup {
    html! {
        details {
            summary { "Each kind, at the prices of " (prices.date) }
            div.inside.wide {
                table {
                    thead { tr {
                        th scope="col" { "kind" } th.figure scope="col" { "count" } th.figure scope="col" { "cost" }
                    } }
                    tbody {
                        @for (label, _, count, usd) in prices.costs(taken) {
                            tr {
                                td { (label) }
                                td.figure { (figures::count(count)) }
                                td.figure { (figures::usd(usd)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
