//! Implements the blob store (binary data by key) on an S3 bucket.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;

use super::Blob;
use crate::meter::{Counted, Meter};
use crate::sdk::failed;
use crate::{Error, Kind};

/// Timeouts for opening a connection, for one attempt, and for all attempts of a request. The
/// timeouts for attempts are long, because an object can have several megabytes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TRY_TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// Stores blobs as objects in one S3 bucket.
#[derive(Clone, Debug)]
pub struct S3 {
    client: aws_sdk_s3::Client,
    bucket: String,
    meter: Arc<Meter>,
}

impl S3 {
    pub fn new(config: &SdkConfig, bucket: &str, meter: Arc<Meter>) -> Self {
        // An emulator does not support a separate host name for each bucket. With an emulator, the
        // bucket name is therefore a part of the URL path.
        let has_bucket_hosts = config.endpoint_url().is_none();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(TRY_TIMEOUT)
            .operation_timeout(REQUEST_TIMEOUT);
        let settings = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(!has_bucket_hosts)
            .timeout_config(timeouts.build())
            .build();
        Self {
            client: aws_sdk_s3::Client::from_conf(settings),
            bucket: bucket.to_owned(),
            meter,
        }
    }

    /// Returns the bytes of an object, or only the bytes in `range`. The text `range` has the
    /// syntax of the HTTP header `Range`. Returns `None` if the object does not exist.
    async fn get_bytes(&self, key: &str, range: Option<String>) -> Result<Option<Vec<u8>>, Error> {
        let got = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .set_range(range)
            .send()
            .await;
        let object = match got {
            Ok(object) => object,
            Err(error)
                if matches!(error.as_service_error(), Some(GetObjectError::NoSuchKey(_))) =>
            {
                return Ok(None);
            }
            Err(error) => {
                return Err(failed(
                    &format!("get {key} from bucket {}", self.bucket),
                    error,
                ));
            }
        };
        let interrupted = |error| {
            Error::because(
                Kind::Unavailable,
                format!(
                    "the download of {key} from bucket {} was interrupted",
                    self.bucket
                ),
                error,
            )
        };
        let bytes = object.body.collect().await.map_err(interrupted)?.to_vec();
        self.meter.count(
            "blob get",
            Counted {
                bytes: bytes.len() as u64,
                ..Counted::default()
            },
        );
        Ok(Some(bytes))
    }
}

#[async_trait]
impl Blob for S3 {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let length = bytes.len() as u64;
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .body(ByteStream::from(bytes))
            .send()
            .await;
        put.map_err(|error| failed(&format!("put {key} into bucket {}", self.bucket), error))?;
        self.meter.count(
            "blob put",
            Counted {
                bytes: length,
                ..Counted::default()
            },
        );
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.get_bytes(key, None).await
    }

    async fn get_range(&self, key: &str, range: Range<usize>) -> Result<Option<Vec<u8>>, Error> {
        if range.is_empty() {
            return Ok(Some(Vec::new()));
        }
        self.get_bytes(
            key,
            Some(format!("bytes={}-{}", range.start, range.end - 1)),
        )
        .await
    }

    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, Error> {
        let (mut keys, mut next) = (Vec::new(), None);
        while keys.len() < most {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_continuation_token(next.take())
                .send()
                .await;
            let page = page.map_err(|error| {
                failed(&format!("list {prefix} of bucket {}", self.bucket), error)
            })?;
            self.meter.count("blob list", Counted::default());
            keys.extend(
                page.contents()
                    .iter()
                    .filter_map(|object| object.key().map(str::to_owned)),
            );
            next = page.next_continuation_token().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        keys.truncate(most);
        Ok(keys)
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        let removed = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        removed
            .map_err(|error| failed(&format!("remove {key} from bucket {}", self.bucket), error))?;
        self.meter.count("blob remove", Counted::default());
        Ok(())
    }
}
