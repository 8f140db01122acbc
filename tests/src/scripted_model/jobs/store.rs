//! The objects that jobs read and write, in the emulator or in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;

pub enum Store {
    S3(Client),
    /// The objects by their `s3://` URI.
    Memory(Mutex<BTreeMap<String, Vec<u8>>>),
}

impl Default for Store {
    fn default() -> Self {
        Self::Memory(Mutex::default())
    }
}

impl Store {
    pub fn s3(config: &bcce_aws::SdkConfig) -> Self {
        Self::S3(Client::from_conf(Builder::from(config).force_path_style(true).build()))
    }

    /// Returns the `s3://` URIs that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// A sentence for the message of a job.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, String> {
        let (bucket, key) = parts(prefix)?;
        let client = match self {
            Self::S3(client) => client,
            Self::Memory(objects) => {
                let objects = objects.lock().expect("no thread panics while it holds the objects");
                return Ok(objects.keys().filter(|uri| uri.starts_with(prefix)).cloned().collect());
            }
        };
        let mut pages = client.list_objects_v2().bucket(bucket).prefix(key).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(describe)?;
            let keys = page.contents().iter().filter_map(|object| object.key());
            found.extend(keys.map(|key| format!("s3://{bucket}/{key}")));
        }
        Ok(found)
    }

    pub async fn get(&self, uri: &str) -> Result<Vec<u8>, String> {
        let (bucket, key) = parts(uri)?;
        match self {
            Self::S3(client) => {
                let object = client.get_object().bucket(bucket).key(key).send().await;
                let body = object.map_err(describe)?.body.collect().await;
                Ok(body.map_err(|error| error.to_string())?.to_vec())
            }
            Self::Memory(objects) => {
                let objects = objects.lock().expect("no thread panics while it holds the objects");
                objects.get(uri).cloned().ok_or(format!("there is no {uri}"))
            }
        }
    }

    pub async fn put(&self, uri: &str, key_id: Option<&str>, body: Vec<u8>) -> Result<(), String> {
        let (bucket, key) = parts(uri)?;
        match self {
            Self::S3(client) => {
                let put = client.put_object().bucket(bucket).key(key).body(ByteStream::from(body));
                let encryption = key_id.map(|_| ServerSideEncryption::AwsKms);
                let put = put.set_server_side_encryption(encryption);
                let put = put.set_ssekms_key_id(key_id.map(str::to_owned));
                put.send().await.map(|_| ()).map_err(describe)
            }
            Self::Memory(objects) => {
                let mut objects =
                    objects.lock().expect("no thread panics while it holds the objects");
                objects.insert(uri.to_owned(), body);
                Ok(())
            }
        }
    }
}

/// Splits an `s3://` URI into bucket and key.
fn parts(uri: &str) -> Result<(&str, &str), String> {
    let rest = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    rest.ok_or_else(|| format!("{uri} is not an S3 URI"))
}

fn describe(error: impl std::error::Error) -> String {
    DisplayErrorContext(&error).to_string()
}
