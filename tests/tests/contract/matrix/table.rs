//! The table of which role may write and read what, as plain data. Roles are written without the suffix `Role`. What is
//! not listed must be refused.

/// The kind of key, the roles that may write it, and the roles that may read it.
pub type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

/// The objects of the artifact bucket, with `s3:PutObject` and `s3:GetObject`. `Reader` is the reader role of the
/// tenant that the object belongs to.
pub const OBJECTS: &[Row] = &[
    (
        "run: request",
        &["Dispatch", "OpenItem", "Prepare"],
        &["Dispatch", "OpenItem", "PersistArtifact", "Prepare", "Reader"],
    ),
    ("run: plan", &["Prepare"], &["Invoke", "PersistArtifact", "Prepare", "Reader"]),
    (
        "run: answer",
        &["Invoke", "Prepare"],
        &["CollectPart", "Invoke", "PersistArtifact", "Reader", "RunPart"],
    ),
    ("run: failure", &["Invoke"], &["Invoke", "PersistArtifact", "Reader"]),
    (
        "run: manifest",
        &["PersistArtifact"],
        &["CollectPart", "EmitMetrics", "PersistArtifact", "Reader"],
    ),
    ("run: signature", &["PersistArtifact"], &["PersistArtifact", "Reader"]),
    (
        "batch: request",
        &["Dispatch"],
        &["BulkJob", "CollectPart", "Dispatch", "OpenBatch", "OpenItem", "RenderPart", "RunPart"],
    ),
    ("batch: configuration", &["OpenBatch"], &["OpenBatch", "RenderPart", "RunPart"]),
    (
        "batch: opened",
        &["OpenBatch"],
        &[
            "BulkJob",
            "ChooseLeftovers",
            "CloseBatch",
            "CollectPart",
            "OpenBatch",
            "RenderPart",
            "RunPart",
            "TakePart",
        ],
    ),
    (
        "batch: list of parts",
        &["OpenBatch"],
        &["Batch", "ChooseLeftovers", "CloseBatch", "Finalize"],
    ),
    (
        "batch: part",
        &["OpenBatch"],
        &["CollectPart", "OpenBatch", "OpenItem", "RenderPart", "RunPart", "TakePart"],
    ),
    ("batch: places", &["OpenBatch"], &["Batch", "CollectPart", "RunPart", "TakePart"]),
    (
        "batch: segment",
        &["CollectPart", "RenderPart", "RunPart", "TakePart"],
        &[
            "ChooseLeftovers",
            "CollectPart",
            "Invoke",
            "Prepare",
            "RenderPart",
            "RunPart",
            "TakePart",
        ],
    ),
    ("batch: runs of a part", &["CollectPart"], &["CollectPart"]),
    (
        "batch: manifest of a part",
        &["CollectPart"],
        &["CloseBatch", "CollectPart", "OpenBatch", "RunPart"],
    ),
    ("batch: signature of a part", &["CollectPart"], &["CollectPart"]),
    ("batch: refused", &["OpenItem"], &["CollectPart"]),
    ("bulk: input", &["RenderPart"], &["BulkService"]),
    ("bulk: rendered", &["RenderPart"], &["BulkJob", "RenderPart", "TakePart"]),
    (
        "bulk: jobs",
        &["BulkJob", "ChooseLeftovers"],
        &["BulkJob", "ChooseLeftovers", "CloseBatch", "CollectPart", "RunPart", "TakePart"],
    ),
    ("bulk: output", &["BulkService"], &["BulkService", "TakePart"]),
    ("bulk: taken", &["TakePart"], &["ChooseLeftovers"]),
    ("bulk: left", &["TakePart"], &["ChooseLeftovers", "CollectPart", "RunPart"]),
    ("bulk: others", &["TakePart"], &["RunPart"]),
    ("bulk: sample", &["ChooseLeftovers"], &["ChooseLeftovers", "RunPart"]),
    ("bulk: parts of the sample", &["ChooseLeftovers"], &["Batch"]),
    ("bulk: parts with leftovers", &["ChooseLeftovers"], &["Batch"]),
    ("batch: children", &["Batch", "Finalize"], &["Batch", "Finalize"]),
    ("batch: results of a part", &["CollectPart"], &["CloseBatch", "CollectPart", "OpenBatch"]),
    ("batch: outputs of a part", &["CollectPart"], &["CloseBatch", "CollectPart"]),
    ("batch: sums of a part", &["CollectPart"], &["CloseBatch"]),
    ("batch: results", &["CloseBatch"], &[]),
    ("batch: outputs", &["CloseBatch"], &[]),
    ("batch: manifest", &["CloseBatch"], &["CloseBatch"]),
    ("batch: signature", &["CloseBatch"], &["CloseBatch"]),
    ("config: workflow", &[], &["OpenBatch", "Prepare"]),
    ("config: budgets", &[], &["OpenBatch", "Prepare", "WatchBudgets"]),
    ("config: of targets", &[], &["Canary", "OpenBatch", "Prepare"]),
    ("config: profiles", &["Canary"], &["Canary", "OpenBatch", "Prepare"]),
    ("config: webhook", &[], &["OpenBatch", "Prepare", "Webhook"]),
    ("inbox", &[], &["OpenBatch", "OpenItem", "RenderPart", "RunPart"]),
    ("uploads", &[], &["OpenBatch", "OpenItem", "RenderPart", "RunPart"]),
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
    "batch: segment",
    "batch: runs of a part",
    "batch: manifest of a part",
    "batch: signature of a part",
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
        update: &["EmitMetrics"],
        read: &["CollectPart", "RunPart", "Sweep"],
        ..NOBODY
    },
    Item {
        kind: "calls",
        put: &["Invoke", "RunPart"],
        update: &["Invoke", "RenderPart", "RunPart"],
        read: &["CollectPart", "PersistArtifact", "RenderPart", "RunPart", "TakePart"],
        ..NOBODY
    },
    Item {
        kind: "committed calls",
        put: &["Invoke", "RunPart"],
        update: &["Invoke", "PersistArtifact", "RenderPart", "RunPart"],
        read: &["CollectPart", "PersistArtifact", "RenderPart", "RunPart", "TakePart"],
        ..NOBODY
    },
    Item {
        kind: "committed allowance",
        put: &["Invoke", "RunPart"],
        update: &["CollectPart", "Invoke", "RenderPart", "RunPart", "TakePart"],
        read: &["CollectPart", "PersistArtifact", "RenderPart", "RunPart", "TakePart"],
        ..NOBODY
    },
    Item {
        kind: "counter of a budget",
        update: &["Invoke", "RenderPart", "RunPart"],
        read: &["Invoke", "RenderPart", "RunPart", "WatchBudgets"],
        ..NOBODY
    },
    Item {
        kind: "spending of a budget",
        update: &["CollectPart", "Invoke", "PersistArtifact", "RenderPart", "RunPart", "TakePart"],
        read: &["Invoke", "RenderPart", "RunPart", "WatchBudgets"],
        ..NOBODY
    },
    Item {
        kind: "list of counters",
        update: &["Invoke", "RenderPart", "RunPart"],
        read: &["WatchBudgets"],
        ..NOBODY
    },
    Item {
        kind: "alert of a budget",
        update: &["Invoke", "RenderPart", "RunPart", "WatchBudgets"],
        read: &["Invoke", "RenderPart", "RunPart", "WatchBudgets"],
        ..NOBODY
    },
    Item {
        kind: "batch record",
        put: &["OpenBatch"],
        update: &["CloseBatch"],
        read: &["Sweep"],
        ..NOBODY
    },
    Item {
        kind: "progress",
        update: &["CollectPart", "EmitMetrics"],
        delete: &["CollectPart"],
        read: &["CloseBatch", "OpenItem", "RunPart"],
        ..NOBODY
    },
    Item {
        kind: "halt",
        update: &["CollectPart", "EmitMetrics", "OpenItem", "RunPart"],
        delete: &["CollectPart"],
        read: &["CloseBatch", "OpenItem", "RunPart"],
        ..NOBODY
    },
    Item {
        kind: "stop",
        update: &["CollectPart", "EmitMetrics", "OpenBatch"],
        delete: &["CollectPart"],
        read: &["CloseBatch", "OpenItem", "RunPart"],
        ..NOBODY
    },
    Item {
        kind: "part under way",
        update: &["CollectPart", "EmitMetrics", "RunPart", "TakePart"],
        delete: &["CollectPart"],
        read: &["CloseBatch", "OpenItem", "RunPart"],
        ..NOBODY
    },
    Item { kind: "counted part", update: &["CollectPart"], ..NOBODY },
    Item { kind: "counted piece of a run", update: &["EmitMetrics"], ..NOBODY },
    Item {
        kind: "place of a packed run",
        put: &["RunPart", "TakePart"],
        read: &["Prepare"],
        ..NOBODY
    },
    Item { kind: "usage", update: &["Canary", "CollectPart", "EmitMetrics"], ..NOBODY },
    Item { kind: "canary call", update: &["Canary"], read: &["Canary"], ..NOBODY },
    Item { kind: "reported findings", update: &["Canary"], read: &["Canary"], ..NOBODY },
    Item {
        kind: "target",
        put: &["FailoverRouter", "Invoke", "RunPart"],
        update: &["Invoke", "RunPart"],
        read: &["Canary", "FailoverRouter", "Invoke", "RunPart"],
        ..NOBODY
    },
    Item {
        kind: "cache",
        put: &["Invoke", "RunPart"],
        update: &["Invoke", "RunPart"],
        read: &["FailoverRouter", "Invoke", "RunPart"],
        ..NOBODY
    },
    Item {
        kind: "entry of the response cache",
        put: &["Invoke", "RunPart"],
        read: &["Invoke", "RunPart"],
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
