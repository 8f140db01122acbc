use bcce_core::call::response_cache::CachedResponse;

use super::*;

const CACHED: &str = "version: 1\nname: explain\ninputs:\n  text: { type: string }\nsteps:\n- { id: answer, model: haiku, thinking: off, response_cache: 7d, prompt: \"one {{ inputs.text }}\" }\n";

impl Fixture {
    /// Turns the part into the same part of another batch.
    fn another_batch(&mut self) {
        let before = self.batch().clone();
        let tenant = &before.tenant;
        self.request.batch.reference = BatchRef::first(tenant, &before.workflow, "another");
        let after = self.batch();
        let keys = |batch: &BatchRef| {
            [batch.request_key(), batch.configuration_key(), batch.part_key(1), batch.places_key(1)]
        };
        let mut objects = self.ports.store.objects.borrow_mut();
        for (from, to) in keys(&before).iter().zip(keys(after)) {
            let body = objects[from].clone();
            objects.insert(to, body);
        }
    }

    fn health(&self) -> &'static MemoryHealth {
        self.ports.caller.health.ledger()
    }

    fn entries(&self) -> Vec<CachedResponse> {
        self.health().responses.borrow().values().cloned().collect()
    }

    async fn answers(&self) -> Vec<StepArtifact> {
        let stored = self.stored().await;
        let answer = |run: &PackedRun| {
            let body = run.object("steps/answer.answer.json").unwrap();
            parse::<StepArtifact>("answer", body).unwrap()
        };
        stored.values().map(answer).collect()
    }
}

/// The second batch makes no call. Each of its answers names the run and the segment that it comes from.
#[tokio::test]
async fn a_batch_has_the_answers_of_an_earlier_one() {
    let mut fixture = Fixture::new(CACHED, 60);
    assert_eq!(fixture.run().await, Ok(OVER));
    assert_eq!(fixture.model.asked.borrow().len(), 60);
    let entries = fixture.entries();
    assert_eq!(entries.len(), 60);
    for CachedResponse { from, .. } in &entries {
        let segment = from.segment.as_ref().unwrap();
        let body = fixture.ports.store.objects.borrow()[segment].clone();
        let runs = parse_segment(segment, &body).unwrap();
        let run = runs.iter().find(|run| run.run.run_id == from.run_id).unwrap();
        assert_eq!(
            bcce_core::base::digest::sha256_hex(run.object_at(&from.key).unwrap()),
            from.sha256
        );
    }
    let first = fixture.answers().await;
    fixture.another_batch();
    assert_eq!(fixture.run().await, Ok(OVER));
    assert_eq!(fixture.model.asked.borrow().len(), 60);
    let second = fixture.answers().await;
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first.output, second.output);
        assert_eq!(second.record.cached_from.as_ref().unwrap().run_id, first.record.run_id);
    }
    for manifest in fixture.manifests().await {
        assert_eq!(
            (manifest.status, manifest.totals.cost_usd),
            (RunStatus::Succeeded, Some(0.into()))
        );
    }
    assert_eq!(fixture.entries(), entries, "an answer from the cache is not entered");
    let calls = fixture.ports.ledger.calls.borrow();
    assert!(!calls.contains_key(&fixture.part()), "a hit is in no call log");
}

/// The text of an item is erased as the documentation says: its lines stay without their objects.
#[tokio::test]
async fn an_erased_text_answers_nothing() {
    let mut fixture = Fixture::new(CACHED, 2);
    assert_eq!(fixture.run().await, Ok(OVER));
    let erased = fixture.answers().await[0].record.run_id.clone();
    for (key, body) in fixture.ports.store.objects.borrow_mut().iter_mut() {
        if !key.ends_with(".segment.jsonl") {
            continue;
        }
        let mut lines = Vec::new();
        for mut run in parse_segment(key, body).unwrap() {
            if run.run.run_id == erased {
                run.objects.clear();
            }
            add_line(&mut lines, &run).unwrap();
        }
        *body = lines;
    }
    fixture.another_batch();
    assert_eq!(fixture.run().await, Ok(OVER));
    assert_eq!(fixture.model.asked.borrow().len(), 3);
    let cached: Vec<bool> =
        fixture.answers().await.iter().map(|answer| answer.record.cached_from.is_some()).collect();
    assert_eq!(cached, [false, true]);
}

/// The artifact of a run with an execution answers an item of a batch.
#[tokio::test]
async fn a_run_with_an_execution_answers_an_item() {
    let mut fixture = Fixture::new(CACHED, 1);
    assert_eq!(fixture.run().await, Ok(OVER));
    let body = to_json(&fixture.answers().await[0]).unwrap();
    for entry in fixture.health().responses.borrow_mut().values_mut() {
        entry.from.segment = None;
        fixture.ports.store.objects.borrow_mut().insert(entry.from.key.clone(), body.clone());
    }
    fixture.another_batch();
    assert_eq!(fixture.run().await, Ok(OVER));
    assert_eq!(fixture.model.asked.borrow().len(), 1);
}

/// Without the ledger of the cache, every item is called.
#[tokio::test]
async fn a_cache_out_of_reach_answers_nothing() {
    let mut fixture = Fixture::new(CACHED, 2);
    assert_eq!(fixture.run().await, Ok(OVER));
    fixture.health().is_gone.set(true);
    fixture.another_batch();
    assert_eq!(fixture.run().await, Ok(OVER));
    assert_eq!(fixture.model.asked.borrow().len(), 4);
}
