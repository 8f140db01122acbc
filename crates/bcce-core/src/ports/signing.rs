//! The signing key.

use crate::base::error::Fault;

pub trait SignDigest {
    /// Signs a SHA-256 digest: ECDSA P-256, DER.
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Fault>;
}

pub trait VerifyDigest {
    /// Returns whether `signature` is this key's over a SHA-256 digest.
    async fn verify(&self, digest: &[u8; 32], signature: &[u8]) -> Result<bool, Fault>;
}
