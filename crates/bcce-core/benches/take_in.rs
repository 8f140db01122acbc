//! Measures the time to read, map and plan one row of a batch's input. Run it with `make bench`. One call of
//! `open-batch` processes a million rows.

use std::hint::black_box;
use std::time::Duration;

use bcce_core::batch::{BatchRequest, BatchSpec, Intake, RowReader, StoredBatch};
use bcce_core::config::budgets::Budgets;
use bcce_core::config::configuration::Configuration;
use bcce_core::config::policy::Policy;
use bcce_core::config::profiles::Profiles;
use bcce_core::config::routing::Routing;
use bcce_core::document::{Document, from_yaml};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const MODELS: &str = include_str!("../../../infra/config/dev/models.yaml");
const PRICES: &str = include_str!("../../../infra/config/dev/prices.yaml");
const WORKFLOW: &str = include_str!("../../../infra/config/dev/workflows/explain.yaml");
const ROWS: usize = 1_000;

fn read<T: Document>(yaml: &str) -> T {
    from_yaml(yaml).finished().expect("the configuration that is shipped")
}

fn batch(source: &str, map: Option<serde_json::Value>) -> StoredBatch {
    let map = map.map(|map| serde_json::from_value(map).expect("a map"));
    let request = BatchRequest {
        workflow: "explain".into(),
        batch: BatchSpec { source: source.into(), map, ..BatchSpec::default() },
        ..BatchRequest::default()
    };
    StoredBatch::new(request, "default", "bench")
}

fn rows(criterion: &mut Criterion) {
    let configuration = Configuration {
        template: read(WORKFLOW),
        template_sha256: String::new(),
        models: read(MODELS),
        routing: Routing::default(),
        policy: Policy::default(),
        policy_sha256: String::new(),
        profiles: Profiles::default(),
        budgets: Budgets::default(),
        prices: read(PRICES),
    };
    let text = "A breaker opens on evidence. ".repeat(35); // a kilobyte
    let jsonl: String =
        (0..ROWS).map(|n| format!("{{\"id\":\"{n}\",\"text\":\"{text}\"}}\n")).collect();
    let csv: String = std::iter::once("nr,Long text\n".to_owned())
        .chain((0..ROWS).map(|n| format!("{n},{text}\n")))
        .collect();
    let map = serde_json::json!({ "text": "{{ item['Long text'] }}" });
    let sources = [
        ("JSONL", jsonl, batch("s3://bucket/a.jsonl", None)),
        ("CSV, mapped", csv, batch("s3://bucket/a.csv", Some(map))),
    ];
    let mut group = criterion.benchmark_group("rows of a kilobyte");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, source, batch) in &sources {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                let mut intake = Intake::new(batch, &configuration);
                let format = batch.batch.format().expect("its name implies it");
                let mut reader = RowReader::new(format).expect("it is read");
                let mut each = |row| drop(black_box(intake.row(row)));
                reader.push(source.as_bytes(), &mut each).expect("a valid source");
                reader.finish(&mut each).expect("a valid source");
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(5)).sample_size(20);
    targets = rows
}
criterion_main!(benches);
