//! Reads the settings of the bucket that protect its objects.

use bcce_core::base::error::Fault;

use super::{S3Store, status};
use crate::fault::internal;

/// The settings of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// True if replaced and deleted objects are kept as versions.
    pub is_versioned: bool,
    /// True if all four settings that block public access are on.
    pub blocks_public_access: bool,
    /// True if objects are encrypted with a KMS key unless a writer says otherwise.
    pub is_encrypted_with_kms: bool,
    /// True if the events of the bucket reach EventBridge, which starts a batch for an uploaded manifest.
    pub sends_events: bool,
}

impl S3Store {
    /// Reads the settings of the bucket.
    ///
    /// # Errors
    /// `Bcce.Internal`: a setting cannot be read.
    pub async fn settings(&self) -> Result<Settings, Fault> {
        Ok(Settings {
            is_versioned: self.is_versioned().await?,
            blocks_public_access: self.blocks_public_access().await?,
            is_encrypted_with_kms: self.is_encrypted_with_kms().await?,
            sends_events: self.sends_events().await?,
        })
    }

    async fn is_versioned(&self) -> Result<bool, Fault> {
        let got = self.client.get_bucket_versioning().bucket(&self.bucket).send().await;
        let got = got.map_err(|error| internal("s3:GetBucketVersioning", &error))?;
        Ok(got.status().is_some_and(|status| status.as_str() == "Enabled"))
    }

    async fn blocks_public_access(&self) -> Result<bool, Fault> {
        match self.client.get_public_access_block().bucket(&self.bucket).send().await {
            Ok(got) => Ok(got.public_access_block_configuration().is_some_and(|block| {
                let rules = [block.block_public_acls(), block.block_public_policy()];
                let further = [block.ignore_public_acls(), block.restrict_public_buckets()];
                rules.into_iter().chain(further).all(|is_on| is_on == Some(true))
            })),
            // A bucket without the settings.
            Err(error) if status(&error) == 404 => Ok(false),
            Err(error) => Err(internal("s3:GetBucketPublicAccessBlock", &error)),
        }
    }

    async fn is_encrypted_with_kms(&self) -> Result<bool, Fault> {
        match self.client.get_bucket_encryption().bucket(&self.bucket).send().await {
            Ok(got) => Ok(got.server_side_encryption_configuration().is_some_and(|rules| {
                let defaults = rules
                    .rules()
                    .iter()
                    .filter_map(|rule| rule.apply_server_side_encryption_by_default());
                defaults
                    .into_iter()
                    .any(|rule| rule.sse_algorithm().as_str().starts_with("aws:kms"))
            })),
            Err(error) if status(&error) == 404 => Ok(false),
            Err(error) => Err(internal("s3:GetEncryptionConfiguration", &error)),
        }
    }

    async fn sends_events(&self) -> Result<bool, Fault> {
        let got = self.client.get_bucket_notification_configuration().bucket(&self.bucket);
        let got = got.send().await;
        let got = got.map_err(|error| internal("s3:GetBucketNotification", &error))?;
        Ok(got.event_bridge_configuration().is_some())
    }
}
