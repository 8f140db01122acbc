//! The signing key.

use crate::base::error::Fault;

pub trait SignDigest {
    /// A DER-encoded ECDSA P-256 signature over a SHA-256 digest.
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Fault>;
}

pub trait VerifyDigest {
    /// Returns whether it is this key's signature over a SHA-256 digest.
    async fn verify(&self, digest: &[u8; 32], signature: &[u8]) -> Result<bool, Fault>;
}
