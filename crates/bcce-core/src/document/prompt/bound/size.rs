//! The size of a value.

/// The longest number or boolean, in bytes.
const SCALAR: u64 = 40;

/// The largest size of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// The length of the value as `kind` defines it, in bytes.
    pub bytes: u64,
    /// The largest number of iterations of a loop over the value.
    pub items: u64,
    pub kind: Kind,
}

/// The meaning of the length of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The length of the value as indented JSON.
    #[default]
    Data,
    /// The length of a text whose content is unknown. As JSON it may be twice as long.
    Text,
    /// The length of JSON whose content is unknown. Indented it may be twice as long.
    Json,
}

impl Size {
    pub(super) fn scalar() -> Self {
        Self { bytes: SCALAR, items: 0, kind: Kind::Data }
    }

    /// Returns the size of a value of `bytes` bytes. Each item of a list takes at least one byte and a comma.
    pub fn of(bytes: u64, kind: Kind) -> Self {
        Self { bytes, items: bytes / 2 + 1, kind }
    }
}

/// The size of a value at its place in the template.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub size: Size,
    /// The loop for whose iterations together the bytes count. `None` if each iteration writes all bytes.
    pub level: Option<usize>,
}

impl Seen {
    pub fn fixed(size: Size) -> Self {
        Self { size, level: None }
    }

    /// Returns the size of both values, one after the other.
    pub fn and(self, other: Self) -> Self {
        let bytes = self.size.bytes.saturating_add(other.size.bytes);
        let level = self.level.filter(|_| self.level == other.level);
        Self { size: Size::of(bytes, Kind::Data), level }
    }

    /// Returns the size of a value that is `factor` times as long, but at least that of a number.
    pub fn times(self, factor: u64) -> Self {
        let bytes = self.size.bytes.saturating_mul(factor).max(SCALAR);
        Self { size: Size::of(bytes, Kind::Data), ..self }
    }
}
