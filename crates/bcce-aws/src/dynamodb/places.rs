//! Places of packed runs. They are found by the id of the run, as the records of other runs are.

use std::cell::RefCell;
use std::time::Duration;

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use bcce_core::base::error::Fault;
use bcce_core::batch::packed::PackedPlace;
use bcce_core::batch::reference::BatchRef;
use bcce_core::ledger::{attempt_sk, packed_pk};
use bcce_core::ports::{FindPlaces, PlaceRuns};

use super::Ledger;
use super::item::{Item, key, number, number_of, text, text_of};
use crate::fault::internal;

/// The largest number of items of a request.
const PER_REQUEST: usize = 25;
/// The number of tries of a request of which DynamoDB leaves items unwritten. Their pauses take 1.6 s. After the
/// last one, the function fails and is retried.
const TRIES: u32 = 7;
/// The pause before the second try. It doubles with each further one.
const PAUSE: Duration = Duration::from_millis(25);

impl PlaceRuns for Ledger {
    /// Sends four requests at a time.
    async fn place_runs(&self, places: &[PackedPlace]) -> Result<(), Fault> {
        let requests = RefCell::new(places.chunks(PER_REQUEST));
        let send = async || loop {
            let next = requests.borrow_mut().next();
            let Some(places) = next else { return Ok(()) };
            self.write_places(places).await?;
        };
        tokio::try_join!(send(), send(), send(), send()).map(drop)
    }
}

impl FindPlaces for Ledger {
    async fn places(&self, run_id: &str) -> Result<Vec<PackedPlace>, Fault> {
        let items = self.items("dynamodb:Query packed", &packed_pk(run_id)).await?;
        let place = |item: &Item| {
            place(run_id, item).ok_or_else(|| {
                Fault::internal(format!("a place of the run {run_id} in the ledger cannot be read"))
            })
        };
        let mut places: Vec<PackedPlace> = items.iter().map(place).collect::<Result<_, _>>()?;
        places.sort_by_key(|place| place.attempt_no);
        Ok(places)
    }
}

impl Ledger {
    async fn write_places(&self, places: &[PackedPlace]) -> Result<(), Fault> {
        let mut left: Vec<WriteRequest> = places.iter().map(put).collect::<Result<_, _>>()?;
        for tries in 0..TRIES {
            if tries > 0 {
                tokio::time::sleep(PAUSE * 2_u32.pow(tries - 1)).await;
            }
            let write = self.client.batch_write_item().request_items(&self.table, left);
            let output = Box::pin(write.send()).await;
            let output =
                output.map_err(|error| internal("dynamodb:BatchWriteItem packed", &error))?;
            let unprocessed = output.unprocessed_items.unwrap_or_default();
            left = unprocessed.into_values().flatten().collect();
            if left.is_empty() {
                return Ok(());
            }
        }
        Err(Fault::internal(format!(
            "dynamodb:BatchWriteItem packed: {} items are unwritten after {TRIES} tries",
            left.len()
        )))
    }
}

fn put(place: &PackedPlace) -> Result<WriteRequest, Fault> {
    let put = PutRequest::builder().set_item(Some(item(place))).build();
    let put = put.map_err(|error| Fault::internal(error.to_string()))?;
    Ok(WriteRequest::builder().put_request(put).build())
}

/// Returns the item of a place. It is shorter than 1 KB, so that writing it takes one unit of write capacity.
fn item(place: &PackedPlace) -> Item {
    let batch = &place.batch;
    let attributes = [
        ("attempt_no", number(place.attempt_no)),
        ("version", number(batch.version)),
        ("batch_id", text(&batch.batch_id)),
        ("batch_attempt_no", number(batch.attempt_no)),
        ("tenant", text(&batch.tenant)),
        ("workflow", text(&batch.workflow)),
        ("request_id", text(&batch.request_id)),
        ("part", number(place.part)),
        ("n", number(place.n)),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
    key(&packed_pk(&place.run_id), &attempt_sk(place.attempt_no))
        .into_iter()
        .chain(attributes)
        .collect()
}

fn place(run_id: &str, item: &Item) -> Option<PackedPlace> {
    let string = |name: &str| text_of(item, name).cloned();
    Some(PackedPlace {
        run_id: run_id.to_owned(),
        attempt_no: number_of(item, "attempt_no")?,
        batch: BatchRef {
            version: number_of(item, "version")?,
            batch_id: string("batch_id")?,
            attempt_no: number_of(item, "batch_attempt_no")?,
            tenant: string("tenant")?,
            workflow: string("workflow")?,
            request_id: string("request_id")?,
        },
        part: number_of(item, "part")?,
        n: number_of(item, "n")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemOutput;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use bcce_core::base::limits::{MAX_ID_BYTES, MAX_NAME_CHARS};
    use bcce_core::run::ids::run_id;

    fn place(n: u64) -> PackedPlace {
        let batch = BatchRef::first("default", "explain", "42");
        let run_id = run_id("default", "explain", &n.to_string());
        PackedPlace { run_id, attempt_no: 1, batch, part: 1, n }
    }

    fn ledger(rules: &[&Rule]) -> Ledger {
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, rules);
        Ledger { client, table: "t".into() }
    }

    fn written(left: usize) -> BatchWriteItemOutput {
        let left: Vec<WriteRequest> = (0..left).map(|n| put(&place(n as u64)).unwrap()).collect();
        let unprocessed = (!left.is_empty()).then(|| [("t".to_owned(), left)].into());
        BatchWriteItemOutput::builder().set_unprocessed_items(unprocessed).build()
    }

    #[tokio::test]
    async fn all_places_are_written_in_requests_of_25() {
        let requests = |count: usize| {
            mock!(Client::batch_write_item)
                .match_requests(move |write| write.request_items().unwrap()["t"].len() == count)
                .then_output(|| written(0))
        };
        let (full, last) = (requests(25), requests(10));
        let places: Vec<PackedPlace> = (1..=135).map(place).collect();
        assert_eq!(ledger(&[&full, &last]).place_runs(&places).await, Ok(()));
        assert_eq!((full.num_calls(), last.num_calls()), (5, 1));
    }

    #[tokio::test]
    async fn unwritten_items_are_written_again_but_not_for_ever() {
        let again = mock!(Client::batch_write_item)
            .match_requests(|write| write.request_items().unwrap()["t"].len() == 2)
            .then_output(|| written(0));
        let first = mock!(Client::batch_write_item)
            .match_requests(|write| write.request_items().unwrap()["t"].len() == 25)
            .then_output(|| written(2));
        let places: Vec<PackedPlace> = (1..=25).map(place).collect();
        assert_eq!(ledger(&[&first, &again]).place_runs(&places).await, Ok(()));
        assert_eq!(again.num_calls(), 1);
        let never = mock!(Client::batch_write_item).then_output(|| written(25));
        let fault = ledger(&[&never]).place_runs(&places).await.unwrap_err();
        assert!(fault.message.contains("25 items are unwritten"), "{fault}");
    }

    #[tokio::test]
    async fn the_places_of_a_run_are_read_oldest_first_as_they_were_written() {
        let at = |attempt_no| PackedPlace { attempt_no, ..place(7) };
        let rule = mock!(Client::query)
            .match_requests(|query| {
                let pk = query.expression_attribute_values().unwrap()[":pk"].as_s().unwrap();
                query.consistent_read() == Some(true) && pk.starts_with("packed#explain-")
            })
            .then_output(move || {
                let items = [10, 2].map(|n| item(&at(n))).into();
                QueryOutput::builder().set_items(Some(items)).build()
            });
        let found = ledger(&[&rule]).places(&place(7).run_id).await;
        assert_eq!(found, Ok(vec![at(2), at(10)]));
        let rule = mock!(Client::query)
            .then_output(|| QueryOutput::builder().items(key("packed#r", "attempt#1")).build());
        assert!(ledger(&[&rule]).places("r").await.is_err());
    }

    #[test]
    fn the_longest_item_takes_one_unit_of_write_capacity() {
        let (name, id) = ("n".repeat(MAX_NAME_CHARS), "i".repeat(MAX_ID_BYTES));
        let batch = BatchRef { attempt_no: 99, ..BatchRef::first(&name, &name, &id) };
        let run_id = run_id(&name, &name, &id);
        let longest =
            item(&PackedPlace { run_id, attempt_no: 99, batch, part: u32::MAX, n: u64::MAX });
        // DynamoDB counts the bytes of names and texts, and at most 21 bytes for a number.
        let bytes = |(name, value): (&String, &aws_sdk_dynamodb::types::AttributeValue)| {
            name.len() + value.as_s().map_or(21, String::len)
        };
        assert!(longest.iter().map(bytes).sum::<usize>() < 1_024);
    }
}
