//! Limits of sizes, counts and times.

/// SQS's own limit for a message, less what its reason takes among the dead letters.
pub const MAX_REQUEST_BYTES: usize = 1_048_576 - 4_096;
/// The body of a webhook's call: what is longer would not fit the inbox.
pub const MAX_WEBHOOK_BYTES: usize = 1_048_576;
/// A configuration document, in bytes; the largest of ours has four thousand.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1_024;
pub const MAX_ID_BYTES: usize = 256;
/// An SSM path segment, an S3 key part and a share of an execution name.
pub const MAX_NAME_CHARS: usize = 64;
/// `requestMetadata` takes 16 entries, five are ours.
pub const MAX_TAGS: usize = 11;
/// The names of tags are few and chosen by people.
pub const MAX_TAG_KEY_CHARS: usize = 256;
/// The value of a tag: room for a branch name or a title, and eleven of them in four bytes to a character are an eighth
/// of an item of the ledger.
pub const MAX_TAG_CHARS: usize = 1_024;
/// A name and a value of `requestMetadata`.
pub const MAX_METADATA_CHARS: usize = 256;
/// Step executions of a run.
pub const MAX_STEPS: usize = 200;
/// Targets of a model: two slots of latencies for each are one read of the ledger, which takes 100 keys; and each
/// is described in every decision of a step, and decisions travel through the state machine.
pub const MAX_TARGETS: usize = 32;
/// Calls of a step: their records travel through the state machine, whose state ends at 256 KiB.
pub const MAX_CALLS: u32 = 50;
/// Router rounds of a step, fewer where many steps share the history.
pub const MAX_ROUNDS: u32 = 5;
/// The number of attempts at a run or a batch. More would only fail again, and two digits leave room in an execution's
/// name.
pub const MAX_ATTEMPTS: u32 = 99;
/// How long an `invoke` may be at work, in seconds: its Lambda timeout, the longest there is.
pub const INVOKE_SECONDS: u64 = 900;
/// A run's longest time, in seconds: a day, below the state machine's own timeout.
pub const MAX_RUN_SECONDS: u64 = 86_400;
/// How long the execution of a run lives at most, in seconds: the timeout of the workflow machine.
pub const MAX_EXECUTION_SECONDS: u64 = 90_000;
/// A rendered prompt, in bytes: the longest request plus what its steps add.
pub const MAX_PROMPT_BYTES: usize = 4 * 1_048_576;
/// Instructions a prompt template may take; 64 bytes of text it makes, or four bytes of JSON, count as one.
/// A diff of 1 MiB takes 17 thousand, and no template makes more than 64 MB.
pub const PROMPT_FUEL: u64 = 1_000_000;
/// The text of a prompt template, in bytes: as much as a long manual.
pub const MAX_TEMPLATE_BYTES: usize = 262_144;
/// Words and signs in one `{{ }}` or `{% %}`: the parser takes stack for each.
pub const MAX_TAG_TOKENS: usize = 200;
/// `elif` in a prompt template: likewise.
pub const MAX_ELIFS: usize = 50;
/// A step's error in the state of an execution: that of 200 items leaves room for the rest of 256 KiB.
pub const MAX_STATE_MESSAGE_BYTES: usize = 600;
/// How long a `prepare` may be at work, in seconds: its Lambda timeout.
pub const PREPARE_SECONDS: u64 = 60;
/// A service's message in an attempt, in characters.
pub const MAX_MESSAGE_CHARS: usize = 300;

/// Cuts `text` to at most `most` bytes.
pub fn cut_bytes(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// Cuts `text` to at most `most` characters.
pub fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Counts the bytes that are written to it and keeps none, e.g. to measure a value as JSON without building it.
pub struct ByteCount(pub u64);

impl ByteCount {
    /// Returns how long `value` is as JSON, in bytes.
    pub fn of(value: &impl serde::Serialize) -> u64 {
        let mut count = Self(0);
        serde_json::to_writer(&mut count, value).expect("a value of ours can be written as JSON");
        count.0
    }
}

impl std::io::Write for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
