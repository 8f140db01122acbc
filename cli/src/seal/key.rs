//! Finds the public key that verifies manifests: the key in KMS, a key in a file, or both.

use std::path::{Path, PathBuf};

use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::Fault;
use p256::ecdsa::VerifyingKey;
use p256::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure, Outcome};
use crate::stack::Stack;

/// A public key with its origin.
#[derive(Debug)]
pub struct Known {
    pub key: VerifyingKey,
    /// The SHA-256 digest of the key as DER (SubjectPublicKeyInfo), in hex.
    pub fingerprint: String,
    /// The ARN of the key in KMS, if it was read from there.
    pub arn: Option<String>,
    /// The file that the key was read from or compared with.
    pub file: Option<PathBuf>,
}

impl Known {
    /// Finds the key that verifies the manifests of a stack. If there is a file `public_key`, reads the key from it and
    /// does not call KMS. Otherwise reads the key from KMS and compares it with the pinned key in the checkout, if
    /// there is one.
    ///
    /// # Errors
    /// The file has no valid key, KMS cannot be reached, or the key in KMS is not the pinned one.
    pub async fn find(public_key: Option<&str>, stack: &Stack) -> Outcome<Self> {
        if let Some(path) = public_key {
            return Self::read(Path::new(path));
        }
        let arn = stack.outputs.signing_key_arn.clone();
        let key = key_of(&stack.signing_key.public_key().await?)?;
        let in_kms = Self { fingerprint: fingerprint(&key)?, key, arn: Some(arn), file: None };
        let pin = pin(&stack.environment);
        if pin.exists() { in_kms.compared(Self::read(&pin)?) } else { Ok(in_kms) }
    }

    fn read(path: &Path) -> Outcome<Self> {
        let failure = |what: String| Failure::usage(what, "`bcce key` prints the key of the stack");
        let shown = path.display();
        let pem = std::fs::read_to_string(path)
            .map_err(|error| failure(format!("{shown} cannot be read: {error}")))?;
        let key = VerifyingKey::from_public_key_pem(&pem)
            .map_err(|_| failure(format!("{shown} is not the PEM of an ECDSA key on P-256")))?;
        Ok(Self { fingerprint: fingerprint(&key)?, key, arn: None, file: Some(path.to_owned()) })
    }

    /// Compares the key in KMS with the pinned one.
    ///
    /// # Errors
    /// The keys differ. The owner of a replaced key could have signed anything.
    fn compared(self, pinned: Self) -> Outcome<Self> {
        if self.fingerprint == pinned.fingerprint {
            return Ok(Self { file: pinned.file, ..self });
        }
        let file = pinned.file.unwrap_or_default();
        Err(Failure {
            exit: Exit::Failed,
            what: format!(
                "the signing key is not the pinned one: {} has the fingerprint {}, but {} has {}",
                self.arn.unwrap_or_default(),
                self.fingerprint,
                file.display(),
                pinned.fingerprint
            ),
            then: format!(
                "find out who changed the key of the stack; use `--public-key FILE` to verify with another key; if the change \
                 was intended, remove {} and run `bcce key --pin`",
                file.display()
            ),
        })
    }

    /// Pins the key: writes it to the checkout, where [`Known::find`] compares the key in KMS with it. Returns the
    /// file.
    pub fn pin(&self, environment: &str) -> Outcome<PathBuf> {
        let path = pin(environment);
        let failure = |error: std::io::Error| {
            let what = format!("{} cannot be written: {error}", path.display());
            Failure::usage(what, "run the command at the root of the checkout")
        };
        std::fs::write(&path, pem(&self.key)?).map_err(failure)?;
        Ok(path)
    }

    /// Returns the id of the account, which has twelve digits.
    pub fn account(&self) -> Option<&str> {
        self.arn.as_deref().and_then(|arn| arn.split(':').nth(4))
    }

    /// Describes the key in one line.
    pub fn describe(&self) -> String {
        let fingerprint = format!("key: SHA-256 {}", self.fingerprint);
        let file = self.file.as_deref().map(|file| file.display().to_string());
        match (&self.arn, self.account(), file) {
            (Some(arn), Some(account), Some(file)) => {
                format!("{fingerprint}, of the account {account} ({arn}), as pinned in {file}")
            }
            (Some(arn), account, _) => {
                let account = account.unwrap_or_default();
                format!(
                    "{fingerprint}, of the account {account} ({arn}); no pinned key to compare with, see `bcce key --help`"
                )
            }
            (None, _, file) => format!("{fingerprint}, of {}", file.unwrap_or_default()),
        }
    }

    /// Describes the key in one line, once it is written to `path`.
    pub fn describe_pinned(&self, path: &Path) -> String {
        let (account, arn) = (self.account().unwrap_or_default(), self.arn.as_deref());
        format!(
            "wrote {}: SHA-256 {}, of the account {account} ({}); compare the digest through another channel, then commit the file",
            path.display(),
            self.fingerprint,
            arn.unwrap_or_default()
        )
    }

    pub fn as_json(&self) -> Value {
        json!({
            "sha256": self.fingerprint,
            "account": self.account(),
            "arn": self.arn,
            "file": self.file.as_deref().map(|file| file.display().to_string()),
        })
    }
}

/// Returns the file of the pinned key: `infra/config/<environment>/signing-key.pem`.
pub fn pin(environment: &str) -> PathBuf {
    Path::new("infra/config").join(environment).join("signing-key.pem")
}

/// Parses a P-256 key as KMS returns it: DER (SubjectPublicKeyInfo).
fn key_of(der: &[u8]) -> Result<VerifyingKey, Fault> {
    VerifyingKey::from_public_key_der(der).map_err(|_| {
        Fault::internal("kms:GetPublicKey: the signing key is not an ECDSA key on P-256")
    })
}

pub fn pem(key: &VerifyingKey) -> Result<String, Fault> {
    key.to_public_key_pem(LineEnding::LF).map_err(|error| Fault::internal(error.to_string()))
}

fn fingerprint(key: &VerifyingKey) -> Result<String, Fault> {
    let der = key.to_public_key_der().map_err(|error| Fault::internal(error.to_string()))?;
    Ok(sha256_hex(der.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::tests::signer;

    const ARN: &str = "arn:aws:kms:us-east-1:123456789012:key/1234";

    fn known(arn: Option<&str>, file: Option<&str>, of: u8) -> Known {
        let key = *p256::ecdsa::SigningKey::from_slice(&[of; 32]).unwrap().verifying_key();
        let (arn, file) = (arn.map(str::to_owned), file.map(PathBuf::from));
        Known { fingerprint: fingerprint(&key).unwrap(), key, arn, file }
    }

    #[test]
    fn a_key_in_kms_that_is_not_the_pinned_one_is_reported_with_both_fingerprints() {
        let same = known(Some(ARN), None, 7).compared(known(None, Some("pin.pem"), 7)).unwrap();
        assert!(same.describe().ends_with("of the account 123456789012 (arn:aws:kms:us-east-1:123456789012:key/1234), as pinned in pin.pem"));
        let (pinned, in_kms) = (known(None, Some("pin.pem"), 7), known(Some(ARN), None, 8));
        let fingerprints = [pinned.fingerprint.clone(), in_kms.fingerprint.clone()];
        let failure = in_kms.compared(pinned).unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
        for part in fingerprints.iter().map(String::as_str).chain([ARN, "pin.pem"]) {
            assert!(failure.what.contains(part), "{part} is not in {}", failure.what);
        }
    }

    /// Compares with `printf '…' | openssl pkey -pubin -outform DER | sha256sum`.
    #[test]
    fn the_fingerprint_is_that_of_the_key_as_der() {
        let der = signer().verifying_key().to_public_key_der().unwrap();
        assert_eq!(
            key_of(der.as_bytes()).map(|key| fingerprint(&key).unwrap()),
            Ok(sha256_hex(der.as_bytes()))
        );
        assert!(key_of(&[1, 2, 3]).is_err());
        assert!(pem(signer().verifying_key()).unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
    }

    #[test]
    fn a_file_is_a_key_by_itself() {
        let path = std::env::temp_dir().join(format!("bcce-key-{}.pem", std::process::id()));
        std::fs::write(&path, pem(signer().verifying_key()).unwrap()).unwrap();
        let read = Known::read(&path);
        std::fs::write(&path, "no key").unwrap();
        let broken = Known::read(&path);
        std::fs::remove_file(&path).unwrap();
        let read = read.unwrap();
        assert_eq!((read.key, read.account()), (*signer().verifying_key(), None));
        assert!(broken.unwrap_err().what.contains("is not the PEM of an ECDSA key"));
        assert_eq!(read.fingerprint.len(), 64);
    }
}
