//! The table of which role may write and read what, as plain data. Roles are written without the suffix `Role`. What is
//! not listed must be refused.

/// The kind of key, the roles that may write it, and the roles that may read it.
pub type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

/// The objects of the artifact bucket, with `s3:PutObject` and `s3:GetObject`. `Reader` is the reader role of the
/// tenant that the object belongs to.
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

/// The kinds that the bucket lets every role write only once.
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

/// A kind of item in the ledger, and the roles that may put, update, delete and read it.
pub struct Item {
    pub kind: &'static str,
    pub put: &'static [&'static str],
    pub update: &'static [&'static str],
    pub delete: &'static [&'static str],
    pub read: &'static [&'static str],
}

/// An item that no role may write or read.
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
