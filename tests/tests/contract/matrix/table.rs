//! Who may write and read what, as plain data. Roles are written without their `Role`; what is not listed is refused.

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
    ("batch: list of parts", &["OpenBatch"], &["Batch", "CloseBatch", "Finalize"]),
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
    ("batch: children", &["Batch", "Finalize"], &["Batch", "Finalize"]),
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

/// A kind of items of the ledger, and who has `dynamodb:PutItem`, `UpdateItem` and `DeleteItem` of it and who reads it.
pub struct Item {
    pub kind: &'static str,
    pub put: &'static [&'static str],
    pub update: &'static [&'static str],
    pub delete: &'static [&'static str],
    pub read: &'static [&'static str],
}

const NOBODY: Item = Item { kind: "anything else", put: &[], update: &[], delete: &[], read: &[] };

pub const ITEMS: &[Item] = &[
    Item {
        kind: "run record",
        put: &["Prepare"],
        update: &["EmitMetrics", "TakePart"],
        read: &["CollectPart"],
        ..NOBODY
    },
    Item {
        kind: "calls",
        put: &["Invoke"],
        update: &["Invoke"],
        read: &["PersistArtifact"],
        ..NOBODY
    },
    Item { kind: "batch record", put: &["OpenBatch"], update: &["CloseBatch"], ..NOBODY },
    Item {
        kind: "progress",
        update: &["EmitMetrics", "TakePart"],
        read: &["CloseBatch", "OpenItem"],
        ..NOBODY
    },
    Item {
        kind: "halt",
        update: &["EmitMetrics", "OpenItem", "TakePart"],
        read: &["CloseBatch", "OpenItem"],
        ..NOBODY
    },
    Item { kind: "usage", update: &["EmitMetrics", "TakePart"], ..NOBODY },
    Item {
        kind: "target",
        put: &["FailoverRouter", "Invoke"],
        update: &["Invoke"],
        read: &["FailoverRouter", "Invoke"],
        ..NOBODY
    },
    Item {
        kind: "cache",
        put: &["Invoke"],
        update: &["Invoke"],
        read: &["FailoverRouter", "Invoke"],
        ..NOBODY
    },
    Item {
        kind: "slot of a run",
        put: &["Dispatch"],
        delete: &["CloseBatch", "Dispatch", "EmitMetrics"],
        read: &["Dispatch"],
        ..NOBODY
    },
    Item {
        kind: "slot of a batch",
        put: &["Dispatch"],
        delete: &["CloseBatch", "Dispatch", "EmitMetrics"],
        read: &["Dispatch"],
        ..NOBODY
    },
    NOBODY,
];
