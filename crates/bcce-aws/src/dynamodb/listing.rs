//! Reads the `listing` index page by page, newest first. The index has the records of one kind and day in shards.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use bcce_core::base::error::Fault;
use bcce_core::ledger::{BatchRecord, RunRecord};

use super::item::{Item, text, text_of};
use super::{Ledger, batches, runs};
use crate::fault::internal;

/// The key of a record in the index. Keys are ordered like the texts of their times, as the index orders the records of
/// a shard. The texts of two times in the same second may be in another order than the times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListingKey {
    /// The start in RFC 3339, as the record has it.
    pub started_at: String,
    pub pk: String,
    pub sk: String,
}

/// A condition on an attribute of a record. DynamoDB checks it, so that other records are read but not transferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub attribute: &'static str,
    pub value: String,
    /// True if the attribute may go on after the value.
    pub is_prefix: bool,
}

impl Condition {
    pub fn equals(attribute: &'static str, value: &str) -> Self {
        Self { attribute, value: value.to_owned(), is_prefix: false }
    }

    pub fn begins_with(attribute: &'static str, value: &str) -> Self {
        Self { attribute, value: value.to_owned(), is_prefix: true }
    }

    /// Writes the condition with the placeholders `#c<n>` and `:c<n>`.
    fn expression(&self, n: usize) -> String {
        if self.is_prefix { format!("begins_with(#c{n}, :c{n})") } else { format!("#c{n} = :c{n}") }
    }
}

/// A page to read of one shard.
#[derive(Clone, Debug)]
pub struct Listing {
    pub shard: String,
    /// The lowest and the highest start, both included, as texts in RFC 3339 or their beginnings.
    pub from: String,
    pub until: String,
    /// The conditions, all of which a record must fulfil.
    pub conditions: Vec<Condition>,
    /// The number of records to check against the conditions.
    pub most: i32,
    /// The end of the page before this one.
    pub after: Option<ListingKey>,
}

/// A page of one shard.
#[derive(Debug)]
pub struct Page<R> {
    pub records: Vec<(ListingKey, R)>,
    /// The number of records that were checked against the conditions.
    pub read: usize,
    /// The keys of the items that this version cannot read. Another version or another program wrote them.
    pub unreadable: Vec<String>,
    /// The end of this page. `None` if the shard has no further record.
    pub next: Option<ListingKey>,
}

impl Ledger {
    /// Reads a page of run records of one shard of one day (see [`bcce_core::ledger::listing_shard`]).
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger cannot be read.
    pub async fn listed(&self, listing: Listing) -> Result<Page<RunRecord>, Fault> {
        self.page(listing, runs::record).await
    }

    /// Reads a page of batch records of one shard of one day (see [`bcce_core::ledger::batches_shard`]).
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger cannot be read.
    pub async fn listed_batches(&self, listing: Listing) -> Result<Page<BatchRecord>, Fault> {
        self.page(listing, batches::record).await
    }

    async fn page<R>(
        &self,
        listing: Listing,
        record: impl Fn(&Item) -> Option<R>,
    ) -> Result<Page<R>, Fault> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("listing")
            .key_condition_expression("listing = :shard AND started_at BETWEEN :from AND :until")
            .expression_attribute_values(":shard", text(&listing.shard))
            .expression_attribute_values(":from", text(&listing.from))
            .expression_attribute_values(":until", text(&listing.until))
            .scan_index_forward(false)
            .limit(listing.most);
        let start = listing.after.as_ref().map(|after| start_key(&listing.shard, after));
        let query = filtered(query, &listing.conditions).set_exclusive_start_key(start);
        let output = query.send().await;
        let output = output.map_err(|error| internal("dynamodb:Query listing", &error))?;
        let items = output.items.unwrap_or_default();
        let (mut records, mut unreadable) = (Vec::new(), Vec::new());
        for item in &items {
            match (key_of(item), record(item)) {
                (Some(key), Some(record)) => records.push((key, record)),
                _ => unreadable.push(name_of(item)),
            }
        }
        Ok(Page {
            read: usize::try_from(output.scanned_count).unwrap_or_default().max(items.len()),
            next: output.last_evaluated_key.as_ref().and_then(key_of),
            records,
            unreadable,
        })
    }
}

fn filtered(mut query: QueryFluentBuilder, conditions: &[Condition]) -> QueryFluentBuilder {
    for (n, condition) in conditions.iter().enumerate() {
        query = query
            .expression_attribute_names(format!("#c{n}"), condition.attribute)
            .expression_attribute_values(format!(":c{n}"), text(&condition.value));
    }
    let expressions = conditions.iter().enumerate().map(|(n, condition)| condition.expression(n));
    let all = expressions.collect::<Vec<_>>().join(" AND ");
    query.set_filter_expression((!all.is_empty()).then_some(all))
}

fn start_key(shard: &str, after: &ListingKey) -> Item {
    let parts = [
        ("listing", shard),
        ("started_at", after.started_at.as_str()),
        ("pk", after.pk.as_str()),
        ("sk", after.sk.as_str()),
    ];
    parts.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
}

fn key_of(item: &Item) -> Option<ListingKey> {
    let part = |name: &str| text_of(item, name).cloned();
    Some(ListingKey { started_at: part("started_at")?, pk: part("pk")?, sk: part("sk")? })
}

fn name_of(item: &Item) -> String {
    let part = |name| text_of(item, name).map_or("?", String::as_str);
    format!("{} {}", part("pk"), part("sk"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_smithy_mocks::{mock, mock_client};

    fn key(started_at: &str) -> ListingKey {
        let [pk, sk] = ["run#r", "attempt#1"].map(str::to_owned);
        ListingKey { started_at: started_at.into(), pk, sk }
    }

    fn item() -> Item {
        let attributes = [
            ("run_id", "r"),
            ("tenant", "default"),
            ("workflow", "w"),
            ("request_id", "1"),
            ("execution_arn", "arn"),
            ("status", "RUNNING"),
        ];
        let mut item = start_key("runs#2026-11-01#0", &key("2026-11-01T12:00:00Z"));
        item.extend(attributes.map(|(name, value)| (name.to_owned(), text(value))));
        item.insert("attempt_no".to_owned(), super::super::item::number(1));
        item
    }

    #[tokio::test]
    async fn a_page_goes_on_where_the_one_before_ended_and_counts_what_it_cannot_read() {
        let rule = mock!(Client::query)
            .match_requests(|query| {
                let start = start_key("runs#2026-11-01#0", &key("2026-11-01T13:00:00Z"));
                query.exclusive_start_key() == Some(&start)
                    && query.filter_expression() == Some("#c0 = :c0 AND begins_with(#c1, :c1)")
                    && query.expression_attribute_names().unwrap()["#c0"] == "status"
            })
            .then_output(|| {
                let mut foreign = item();
                foreign.remove("workflow");
                QueryOutput::builder()
                    .items(item())
                    .items(foreign)
                    .scanned_count(9)
                    .set_last_evaluated_key(Some(start_key("x", &key("2026-11-01T11:00:00Z"))))
                    .build()
            });
        let client = mock_client!(aws_sdk_dynamodb, [&rule]);
        let ledger = Ledger { client, table: "t".into() };
        let listing = Listing {
            shard: "runs#2026-11-01#0".into(),
            from: "0".into(),
            until: "~".into(),
            conditions: vec![
                Condition::equals("status", "RUNNING"),
                Condition::begins_with("run_id", "r"),
            ],
            most: 10,
            after: Some(key("2026-11-01T13:00:00Z")),
        };
        let page = ledger.listed(listing).await.unwrap();
        assert_eq!(page.records.len(), 1);
        assert_eq!(page.records[0].0, key("2026-11-01T12:00:00Z"));
        assert_eq!((page.read, page.unreadable), (9, vec!["run#r attempt#1".to_owned()]));
        assert_eq!(page.next, Some(key("2026-11-01T11:00:00Z")));
    }
}
