//! Limits of sizes, counts and times.

/// The largest request, in bytes: the size limit of an SQS message, less the room that a dead letter needs for its
/// reason.
pub const MAX_REQUEST_BYTES: usize = 1_048_576 - 4_096;
/// The largest body of a webhook call, in bytes. A longer body does not fit into the inbox.
pub const MAX_WEBHOOK_BYTES: usize = 1_048_576;
/// The largest document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1_024;
/// The longest id of a request, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// The longest name, in characters. A name is a segment of an SSM path, a part of an S3 key and a part of an execution
/// name.
pub const MAX_NAME_CHARS: usize = 64;
/// The largest number of tags of a request. `requestMetadata` accepts 16 entries, and BCCE sets five of them.
pub const MAX_TAGS: usize = 11;
/// The longest key of a tag, in characters.
pub const MAX_TAG_KEY_CHARS: usize = 256;
/// The longest value of a tag, in characters. A branch name or a title fits. Eleven such values of four bytes per
/// character take an eighth of the largest ledger item.
pub const MAX_TAG_CHARS: usize = 1_024;
/// The longest name and the longest value in `requestMetadata`, in characters.
pub const MAX_METADATA_CHARS: usize = 256;
/// The largest number of step executions of a run.
pub const MAX_STEPS: usize = 200;
/// The largest number of targets of a model alias. One read of the ledger gets two latency slots for each target, and
/// such a read takes at most 100 keys. Also, each decision of a step describes every target, and decisions pass through
/// the state machine.
pub const MAX_TARGETS: usize = 32;
/// The largest number of calls of a step. Their records pass through the state machine, and its state is limited to 256
/// KiB.
pub const MAX_CALLS: u32 = 50;
/// The largest number of router rounds of a step. A run with many steps has fewer, because all steps share one
/// execution history.
pub const MAX_ROUNDS: u32 = 5;
/// The largest number of run attempts of a run or a batch. Two digits leave enough room in an execution name.
pub const MAX_ATTEMPTS: u32 = 99;
/// The timeout of the `invoke` function, in seconds. Lambda allows no longer one.
pub const INVOKE_SECONDS: u64 = 900;
/// The longest time of a run, in seconds: one day, which is below the state machine's own timeout.
pub const MAX_RUN_SECONDS: u64 = 86_400;
/// The longest time of a run's execution, in seconds: the timeout of the workflow state machine.
pub const MAX_EXECUTION_SECONDS: u64 = 90_000;
/// The longest time of a batch's execution, in seconds: the timeout of the batch state machine, 30 days.
pub const MAX_BATCH_EXECUTION_SECONDS: u64 = 2_592_000;
/// The longest rendered prompt, in bytes. The longest request fits, together with the answers of earlier steps.
pub const MAX_PROMPT_BYTES: usize = 4 * 1_048_576;
/// The largest number of instructions that rendering a prompt template may take. Each 64 bytes of text, or four bytes
/// of JSON, that the template makes count as one instruction. A diff of 1 MiB takes 17 thousand, and no template makes
/// more than 64 MB.
pub const PROMPT_FUEL: u64 = 1_000_000;
/// The largest prompt template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 262_144;
/// The largest number of tokens in one `{{ }}` or `{% %}`. The parser uses stack for each token.
pub const MAX_TAG_TOKENS: usize = 200;
/// The largest number of `elif` in a prompt template. The parser uses stack for each one.
pub const MAX_ELIFS: usize = 50;
/// The longest error message of a step in the state of an execution, in bytes. The messages of 200 items leave enough
/// room in the state, which is limited to 256 KiB.
pub const MAX_STATE_MESSAGE_BYTES: usize = 600;
/// The timeout of the `prepare` function, in seconds.
pub const PREPARE_SECONDS: u64 = 60;
/// The longest message of a service in an attempt, in characters.
pub const MAX_MESSAGE_CHARS: usize = 300;

/// Cuts `text` to at most `most` bytes, at the end of a character.
pub fn cut_bytes(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// Cuts `text` to at most `most` characters.
pub fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// A writer that counts the bytes and discards them. It measures a value as JSON without building the JSON.
pub struct ByteCount(pub u64);

impl ByteCount {
    /// Returns the length of `value` as JSON, in bytes.
    ///
    /// # Panics
    /// Panics if `value` cannot be written as JSON. All types of this project can be written as JSON.
    pub fn of(value: &impl serde::Serialize) -> u64 {
        let mut count = Self(0);
        serde_json::to_writer(&mut count, value)
            .expect("types of this project can be written as JSON");
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
