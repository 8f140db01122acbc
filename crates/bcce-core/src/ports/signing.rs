//! The signing key.

use crate::base::error::Fault;

pub trait SignDigest {
    /// Signs a SHA-256 digest with ECDSA P-256. Returns the signature in DER.
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Fault>;
}

pub trait VerifyDigest {
    /// Returns whether `signature` was made with this key over a SHA-256 digest.
    async fn verify(&self, digest: &[u8; 32], signature: &[u8]) -> Result<bool, Fault>;
}
