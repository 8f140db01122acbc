//! Who may write and read what: roles without their `Role`. Plain data; what is not listed is refused.

/// Kind of key, who may write it, who may read it.
pub type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Objects of the artifact bucket: `s3:PutObject`, `s3:GetObject`. `Reader` is the tenant's own.
pub const OBJECTS: &[Row] = &[
    (
        "run: request",
        &["Dispatch", "OpenItem", "RenderPart"],
        &["Dispatch", "OpenItem", "PersistArtifact", "Prepare", "Reader", "RenderPart", "TakePart"],
    ),
    (
        "run: plan",
        &["Prepare", "RenderPart"],
        &["Invoke", "PersistArtifact", "Prepare", "Reader", "RenderPart", "TakePart"],
    ),
    (
        "run: answer",
        &["Invoke", "TakePart"],
        &["CollectPart", "Invoke", "PersistArtifact", "Reader", "TakePart"],
    ),
    ("run: failure", &["Invoke", "TakePart"], &["Invoke", "PersistArtifact", "Reader", "TakePart"]),
    (
        "run: manifest",
        &["PersistArtifact", "TakePart"],
        &[
            "ChooseLeftovers",
            "CollectPart",
            "EmitMetrics",
            "PersistArtifact",
            "Reader",
            "RenderPart",
            "TakePart",
        ],
    ),
    (
        "run: signature",
        &["PersistArtifact", "TakePart"],
        &["PersistArtifact", "Reader", "TakePart"],
    ),
    (
        "batch: request",
        &["Dispatch"],
        &["BulkJob", "Dispatch", "OpenBatch", "OpenItem", "RenderPart"],
    ),
    (
        "batch: opened",
        &["OpenBatch"],
        &["BulkJob", "ChooseLeftovers", "CloseBatch", "OpenBatch", "RenderPart", "TakePart"],
    ),
    ("batch: list of parts", &["OpenBatch"], &["Batch", "CloseBatch"]),
    (
        "batch: part",
        &["OpenBatch"],
        &["ChooseLeftovers", "CollectPart", "OpenBatch", "OpenItem", "RenderPart", "TakePart"],
    ),
    ("batch: places", &["OpenBatch"], &["Batch", "CollectPart", "TakePart"]),
    ("batch: refused", &["OpenItem"], &["CollectPart"]),
    ("bulk: input", &["RenderPart"], &["BulkService", "ChooseLeftovers", "TakePart"]),
    ("bulk: rendered", &["RenderPart"], &["BulkJob", "ChooseLeftovers", "TakePart"]),
    (
        "bulk: jobs",
        &["BulkJob", "ChooseLeftovers"],
        &["BulkJob", "ChooseLeftovers", "CloseBatch", "TakePart"],
    ),
    ("bulk: output", &["BulkService"], &["BulkService", "ChooseLeftovers", "TakePart"]),
    ("bulk: taken", &["TakePart"], &["ChooseLeftovers", "TakePart"]),
    ("bulk: left", &["TakePart"], &["ChooseLeftovers", "TakePart"]),
    ("bulk: sample", &["ChooseLeftovers"], &["Batch", "ChooseLeftovers", "TakePart"]),
    ("batch: rest", &["TakePart"], &["Batch"]),
    ("batch: rest of records", &["ChooseLeftovers"], &["Batch"]),
    ("batch: children", &["Batch"], &["Batch"]),
    ("batch: results of a part", &["CollectPart"], &["CloseBatch", "CollectPart", "OpenBatch"]),
    ("batch: outputs of a part", &["CollectPart"], &["CloseBatch"]),
    ("batch: sums of a part", &["CollectPart"], &["CloseBatch"]),
    ("batch: results", &["CloseBatch"], &[]),
    ("batch: outputs", &["CloseBatch"], &[]),
    ("batch: manifest", &["CloseBatch"], &["CloseBatch"]),
    ("batch: signature", &["CloseBatch"], &["CloseBatch"]),
    ("config: workflow", &[], &["OpenBatch", "Prepare", "RenderPart"]),
    ("config: webhook", &[], &["OpenBatch", "Prepare", "RenderPart", "Webhook"]),
    ("inbox", &[], &["OpenBatch", "OpenItem", "RenderPart"]),
    ("uploads", &[], &["OpenBatch", "OpenItem", "RenderPart"]),
    ("anything else", &[], &[]),
];

/// Kinds of which the bucket refuses a second writer, whoever it is.
pub const ONCE: &[&str] = &[
    "run: request",
    "run: plan",
    "run: answer",
    "run: failure",
    "run: manifest",
    "run: signature",
    "batch: request",
    "batch: manifest",
    "batch: signature",
];

/// Items of the ledger: who has `dynamodb:PutItem`, who has `dynamodb:UpdateItem`, who reads.
pub type Item =
    (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

pub const ITEMS: &[Item] = &[
    ("run record", &["Prepare"], &["EmitMetrics", "TakePart"], &["CollectPart"]),
    ("calls", &["Invoke"], &["Invoke"], &["PersistArtifact"]),
    ("batch record", &["OpenBatch"], &["CloseBatch"], &[]),
    ("tally", &[], &["EmitMetrics", "TakePart"], &["CloseBatch", "OpenItem"]),
    ("halt", &[], &["EmitMetrics", "OpenItem", "TakePart"], &["CloseBatch", "OpenItem"]),
    ("usage", &[], &["EmitMetrics", "TakePart"], &[]),
    ("target", &["FailoverRouter", "Invoke"], &["Invoke"], &["FailoverRouter", "Invoke"]),
    ("cache", &["Invoke"], &["Invoke"], &["FailoverRouter", "Invoke"]),
    ("anything else", &[], &[], &[]),
];
