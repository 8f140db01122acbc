//! SHA-256 as lower-case hex, the only digest in BCCE's formats.

use sha2::{Digest as _, Sha256};

/// Returns the SHA-256 digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Returns the SHA-256 digest of `bytes` as lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    in_hex(&sha256(bytes))
}

/// Returns a digest as lower-case hex.
pub fn in_hex(digest: &[u8; 32]) -> String {
    hex::encode(digest)
}

/// Returns the digest of several fields as lower-case hex. A zero byte separates the fields, so that moving text from
/// one field to the next changes the digest.
pub fn sha256_hex_of_fields(fields: &[&str]) -> String {
    let mut hash = Sha256::new();
    for (n, field) in fields.iter().enumerate() {
        if n > 0 {
            hash.update([0]);
        }
        hash.update(field.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// A digest that is computed piece by piece, for data that is never in memory as a whole.
#[derive(Clone, Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Appends `bytes` to the data.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of the data so far as lower-case hex.
    pub fn hex(self) -> String {
        hex::encode(self.bytes())
    }

    /// Returns the digest of the data so far.
    pub fn bytes(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), abc);
    }

    #[test]
    fn fields_are_kept_apart() {
        assert_ne!(sha256_hex_of_fields(&["ab", "c"]), sha256_hex_of_fields(&["a", "bc"]));
        assert_eq!(sha256_hex_of_fields(&["a", "b"]), sha256_hex(b"a\0b"));
    }
}
