//! A model whose calls are traced.

use crate::call::model::{CallReport, ModelCall};
use crate::ports::{CallModel, SendSpan};

/// A model that sends a span of each call. The calls themselves are those of `model`.
pub struct Traced<M, S> {
    pub model: M,
    pub spans: S,
}

impl<M: CallModel, S: SendSpan> CallModel for Traced<M, S> {
    async fn call(&self, call: &ModelCall<'_>) -> CallReport {
        let report = self.model.call(call).await;
        self.spans.send(call, &report);
        report
    }
}
