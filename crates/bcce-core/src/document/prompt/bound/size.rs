//! How long a value is.

/// A number or a truth value.
const SCALAR: u64 = 40;

/// How long a value is, in bytes of its JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub bytes: u64,
    /// Turns that a loop over it takes at most.
    pub items: u64,
    pub kind: Kind,
}

/// Says what is known of a value beside its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Its bytes are those of its indented JSON already.
    #[default]
    Data,
    /// A text that is known by its length alone; as JSON it is up to twice as long.
    Text,
    /// JSON that is known by its length alone; indented it is up to twice as long.
    Json,
}

impl Size {
    pub(super) fn scalar() -> Self {
        Self { bytes: SCALAR, items: 0, kind: Kind::Data }
    }

    /// A value of so many bytes. Each item of a list takes a byte and a comma at least.
    pub fn of(bytes: u64, kind: Kind) -> Self {
        Self { bytes, items: bytes / 2 + 1, kind }
    }
}

/// A value's size where it stands. `level`: the bytes are those of all turns of this loop together.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub size: Size,
    pub level: Option<usize>,
}

impl Seen {
    pub fn fixed(size: Size) -> Self {
        Self { size, level: None }
    }

    /// Both values, one behind the other.
    pub fn and(self, other: Self) -> Self {
        let bytes = self.size.bytes.saturating_add(other.size.bytes);
        let level = self.level.filter(|_| self.level == other.level);
        Self { size: Size::of(bytes, Kind::Data), level }
    }

    pub fn times(self, factor: u64) -> Self {
        let bytes = self.size.bytes.saturating_mul(factor).max(SCALAR);
        Self { size: Size::of(bytes, Kind::Data), ..self }
    }
}
