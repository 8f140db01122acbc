//! The trace of the invocation under way. A function has one thread and handles one invocation at a time.

use std::cell::Cell;

use bcce_core::base::trace::TraceHeader;

thread_local! {
    static TRACE: Cell<Option<TraceHeader>> = const { Cell::new(None) };
}

/// Begins an invocation that belongs to `trace`.
pub fn set_trace(trace: Option<TraceHeader>) {
    TRACE.set(trace);
}

/// Returns the trace of the invocation under way. Returns `None` before the first invocation.
pub fn current_trace() -> Option<TraceHeader> {
    TRACE.get()
}
