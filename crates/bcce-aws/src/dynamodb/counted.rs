//! Counts a part: one transaction adds its usage to the counters and its runs to the progress of its batch.

use bcce_core::base::error::Fault;
use bcce_core::ledger::{
    CountedPart, counted_pk, counted_sk, part_piece_key, part_sk, progress_pk,
};
use bcce_core::ports::{Closed, CountPart};

use super::change::{Change, Write};
use super::item::{stamp, text};
use super::records::closed;
use super::{Ledger, progress};

impl CountPart for Ledger {
    async fn count_part(&self, counted: &CountedPart) -> Result<Closed, Fault> {
        let (batch, manifest) = (counted.batch.item_of(), &counted.manifest);
        let id = counted.batch.part_id(manifest.part);
        let marker = Change::setting(
            (counted_pk(&batch), counted_sk(manifest.part)),
            [("ended_at".to_owned(), text(&stamp(manifest.ended_at)))].into(),
            "attribute_not_exists(#ended_at)",
        );
        let marker_key = |piece| part_piece_key(&batch, manifest.part, piece);
        let usage = self.count_usage(&id, &counted.to_count(), marker_key).await?;
        let changes = [marker, progress::count_part(counted)].into_iter().chain(usage);
        let mut writes: Vec<Write> = changes.map(Write::Change).collect();
        writes.push(Write::Delete((progress_pk(&batch), part_sk(manifest.part))));
        self.write_all("dynamodb:TransactWriteItems part", writes, &id).await.map(closed)
    }
}
