//! Tests that the reports are pages that everybody can read: `bcce runs report`, `bcce batch report` and `bcce metrics
//! cost` write the pages of runs and batches of each kind, and Chromium opens all of them once.
//!
//! `make browser` starts the suite on a local stack of its own. The screenshots are in `.local/reports`. What is examined
//! is in `tests/browser`.

mod batches;
mod hostile;
mod pages;
mod runs;

use bcce_tests::harness::browser;
use bcce_tests::harness::stack::Stack;

use pages::Pages;

/// The pages of all reports have nothing that the examination finds.
#[tokio::test]
async fn everybody_can_read_every_report() {
    let stack = Stack::connect().await;
    let pages = Pages::new();
    tokio::join!(
        runs::failing_over(&stack, &pages),
        runs::waiting(&stack, &pages),
        runs::failed(&stack, &pages),
        runs::under_way(&stack, &pages),
        runs::fanning_out(&stack, &pages),
        hostile::answers(&stack, &pages),
        hostile::errors(&stack, &pages),
        hostile::batch(&stack, &pages),
        batches::under_way(&stack, &pages),
    );
    // The large batch gets the whole stack.
    batches::large(&stack, &pages).await;
    pages.write("costs", &["metrics", "cost"]);
    browser::open(pages.directory()).unwrap_or_else(|findings| panic!("\n{findings}"));
}
