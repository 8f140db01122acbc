//! The X-Ray trace that an invocation belongs to.

use std::fmt;

/// The id of a trace, such as `1-6a4f0c20-5759e988bd862e3fe1be46a9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId {
    /// The time at which the trace began, in seconds since 1970.
    began: u32,
    /// The random part, of 96 bits.
    random: u128,
}

impl TraceId {
    /// Parses a trace id. Returns `None` if `text` is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (began, random) = text.strip_prefix("1-")?.split_once('-')?;
        let began = hex(began, 8)?.try_into().ok()?;
        Some(Self { began, random: hex(random, 24)? })
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1-{:08x}-{:024x}", self.began, self.random)
    }
}

/// The trace header of an invocation: `Root=<trace id>;Parent=<segment id>;Sampled=1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHeader {
    pub trace_id: TraceId,
    /// The segment of the invocation, to which its subsegments belong.
    pub parent: Option<u64>,
    /// True if X-Ray records the trace.
    pub is_sampled: bool,
}

impl TraceHeader {
    /// Parses a trace header. Ignores unknown fields, such as `Lineage`. Returns `None` if the header has no valid
    /// `Root`: such an invocation is not traced.
    pub fn parse(header: &str) -> Option<Self> {
        let (mut root, mut parent, mut is_sampled) = (None, None, false);
        for (name, value) in header.split(';').filter_map(|field| field.trim().split_once('=')) {
            match name {
                "Root" => root = TraceId::parse(value),
                "Parent" => parent = hex(value, 16).and_then(|id| id.try_into().ok()),
                "Sampled" => is_sampled = value == "1",
                _ => {}
            }
        }
        root.map(|trace_id| Self { trace_id, parent, is_sampled })
    }
}

/// Reads a hexadecimal number of exactly `digits` digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    // A sign would be accepted by the parser.
    let is_hex = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const ROOT: &str = "1-6a4f0c20-0759e988bd862e3fe1be46a9";

    /// Returns a header with the parent `53995c3f42cd8ad8`.
    pub fn header(is_sampled: bool) -> TraceHeader {
        let sampled = u8::from(is_sampled);
        TraceHeader::parse(&format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled={sampled}"))
            .unwrap()
    }

    #[test]
    fn a_header_has_the_trace_the_segment_and_the_decision() {
        for (is_sampled, lineage) in [(true, ""), (false, ";Lineage=1:a87bd80c:0")] {
            let sampled = u8::from(is_sampled);
            let text = format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled={sampled}{lineage}");
            let header = TraceHeader::parse(&text).unwrap();
            assert_eq!(header.trace_id.to_string(), ROOT);
            assert_eq!(header.parent, Some(0x5399_5c3f_42cd_8ad8));
            assert_eq!(header.is_sampled, is_sampled);
        }
    }

    #[test]
    fn a_header_without_a_parent_or_a_decision_still_names_its_trace() {
        for text in [format!("Root={ROOT}"), format!("Sampled=?; Parent=53995c3f;Root={ROOT}")] {
            let header = TraceHeader::parse(&text).unwrap();
            assert_eq!(header.trace_id.to_string(), ROOT);
            assert_eq!((header.parent, header.is_sampled), (None, false), "{text}");
        }
    }

    #[test]
    fn a_malformed_header_is_ignored() {
        for text in [
            "",
            "Sampled=1",
            "Root=",
            "Root=6a4f0c20-0759e988bd862e3fe1be46a9;Sampled=1",
            "Root=2-6a4f0c20-0759e988bd862e3fe1be46a9;Sampled=1",
            "Root=1-6a4f0c20-0759e988bd862e3fe1be46a;Sampled=1",
            "Root=1-6a4f0c20-0759e988bd862e3fe1be46a90;Sampled=1",
            "Root=1-+a4f0c20-0759e988bd862e3fe1be46a9;Sampled=1",
            "Root=1-6a4f0c20-0759e988bd862e3fe1be46ag;Sampled=1",
            "Root=1-6a4f0c20-\"759e988bd862e3fe1be46a9;Sampled=1",
            "root=1-6a4f0c20-0759e988bd862e3fe1be46a9",
        ] {
            assert_eq!(TraceHeader::parse(text), None, "{text}");
        }
    }
}
