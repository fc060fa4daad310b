//! The committed metadata in memory: the image, and the recent batches for those who follow.
//!
//! Written by the state machine alone, on the control thread; read from any thread. Followers pull: each keeps its own
//! position and asks for what comes next, so that a slow one costs nothing and an old one gets the image instead.

use crate::raft::types::Applied;
use bytes::Bytes;
use milena_metadata::image::MetadataImage;
use milena_rpc::EncodingError;
use milena_types::MetadataVersion;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::watch;

/// How many encoded batches are kept for followers, in bytes; the newest is always kept.
const RECENT_BYTES: usize = 8 * 1024 * 1024;
/// How many encoded batches are kept for followers.
const RECENT_COUNT: usize = 4_096;

/// The image and the batches that led to it.
#[derive(Debug)]
pub(crate) struct CommittedLog {
    inner: Mutex<Inner>,
    /// The image that followers are being sent, for as long as one is.
    encoded: Mutex<Weak<EncodedImage>>,
    version: watch::Sender<MetadataVersion>,
}

#[derive(Debug, Default)]
struct Inner {
    image: Arc<MetadataImage>,
    /// The batches that led to the image's version, the last one at the back, without gaps.
    recent: VecDeque<Bytes>,
    recent_bytes: usize,
}

/// An image in the encoding of `encode_image`: one for all followers that need it at the same time.
#[derive(Debug)]
pub(crate) struct EncodedImage {
    pub(crate) version: MetadataVersion,
    pub(crate) bytes: Bytes,
}

/// What a follower needs next.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// It has everything.
    Nothing,
    /// The batch that applies to its version, in the encoding of `encode_batch`.
    Batch(Bytes),
    /// It is too far behind, or ahead: start over from [`CommittedLog::encoded_image`].
    Image,
}

impl Default for CommittedLog {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            encoded: Mutex::default(),
            version: watch::Sender::new(MetadataVersion(0)),
        }
    }
}

impl CommittedLog {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every section below leaves the value whole even if it panics half-way: the image is replaced at its end.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image at the last applied batch.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.lock().image)
    }

    /// Wakes at every new version.
    pub(crate) fn watch(&self) -> watch::Receiver<MetadataVersion> {
        self.version.subscribe()
    }

    /// Applies one committed batch.
    ///
    /// # Errors
    /// Bytes that are no batch; nothing changed.
    pub(crate) fn apply(&self, batch: Bytes) -> Result<Applied, EncodingError> {
        let decoded = milena_rpc::decode_batch(&batch)?;
        let mut inner = self.lock();
        let mut image = (*inner.image).clone();
        if image.apply(&decoded).is_err() {
            return Ok(Applied::Conflict(inner.image.version.0));
        }
        let version = image.version;
        inner.image = Arc::new(image);
        inner.recent_bytes += batch.len();
        inner.recent.push_back(batch);
        while inner.recent.len() > RECENT_COUNT
            || (inner.recent_bytes > RECENT_BYTES && inner.recent.len() > 1)
        {
            let oldest = inner.recent.pop_front();
            inner.recent_bytes -= oldest.map_or(0, |bytes| bytes.len());
        }
        drop(inner);
        self.version.send_replace(version);
        Ok(Applied::Version(version.0))
    }

    /// Takes a whole image, from a snapshot.
    pub(crate) fn replace(&self, image: MetadataImage) {
        let version = image.version;
        let mut inner = self.lock();
        inner.image = Arc::new(image);
        inner.recent.clear();
        inner.recent_bytes = 0;
        drop(inner);
        self.version.send_replace(version);
    }

    /// The present image for a follower to start from; the same one for all who are being sent it. Never an older one: the
    /// follower may have published a newer image than it says (INV-META-10).
    pub(crate) fn encoded_image(&self) -> Arc<EncodedImage> {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        let image = self.image();
        if let Some(known) = encoded.upgrade()
            && known.version == image.version
        {
            return known;
        }
        let fresh = Arc::new(EncodedImage {
            version: image.version,
            bytes: milena_rpc::encode_image(&image),
        });
        *encoded = Arc::downgrade(&fresh);
        fresh
    }

    /// What a follower at `have` needs next.
    pub(crate) fn next_after(&self, have: MetadataVersion) -> Next {
        let inner = self.lock();
        let current = inner.image.version;
        if have == current {
            return Next::Nothing;
        }
        let behind = current
            .0
            .checked_sub(have.0)
            .and_then(|behind| usize::try_from(behind).ok());
        match behind.and_then(|behind| inner.recent.len().checked_sub(behind)) {
            Some(position) => inner
                .recent
                .get(position)
                .cloned()
                .map_or(Next::Nothing, Next::Batch),
            None => Next::Image,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_metadata::record::{MetadataBatch, MetadataRecord};

    fn batch(expected: u64) -> Bytes {
        let records = vec![MetadataRecord::ProducerIds {
            next: i64::try_from(expected).unwrap() + 1,
        }];
        milena_rpc::encode_batch(&MetadataBatch {
            expected_version: MetadataVersion(expected),
            records,
        })
    }

    #[test]
    fn followers_get_batches_in_order_and_the_image_when_they_are_too_old() {
        let log = CommittedLog::default();
        assert!(matches!(log.next_after(MetadataVersion(0)), Next::Nothing));
        for version in 0..3 {
            assert_eq!(log.apply(batch(version)).unwrap(), Applied::Version(version + 1));
        }
        let mut follower = MetadataImage::default();
        while let Next::Batch(bytes) = log.next_after(follower.version) {
            follower
                .apply(&milena_rpc::decode_batch(&bytes).unwrap())
                .unwrap();
        }
        assert_eq!(&follower, log.image().as_ref());
        // One that is ahead belongs to a history that never was.
        assert!(matches!(log.next_after(MetadataVersion(9)), Next::Image));
        // After a snapshot the batches before it are gone.
        log.replace(follower);
        assert!(matches!(log.next_after(MetadataVersion(2)), Next::Image));
        assert!(matches!(log.next_after(MetadataVersion(3)), Next::Nothing));
        log.apply(batch(3)).unwrap();
        assert!(matches!(log.next_after(MetadataVersion(3)), Next::Batch(_)));
    }

    #[test]
    fn a_stale_batch_is_a_conflict_and_changes_nothing() {
        let log = CommittedLog::default();
        log.apply(batch(0)).unwrap();
        let before = log.image();
        assert_eq!(log.apply(batch(0)).unwrap(), Applied::Conflict(1));
        assert_eq!(log.image(), before);
        assert!(log.apply(Bytes::from_static(b"\x09")).is_err());
    }

    #[test]
    fn followers_that_need_an_image_at_the_same_time_share_it() {
        let log = CommittedLog::default();
        log.apply(batch(0)).unwrap();
        let first = log.encoded_image();
        assert!(Arc::ptr_eq(&first, &log.encoded_image()));
        let decoded = milena_rpc::decode_image(&first.bytes).unwrap();
        assert_eq!(
            (&decoded, first.version),
            (log.image().as_ref(), MetadataVersion(1))
        );
        // Not when there is a newer one; and it is kept for as long as somebody needs it.
        log.apply(batch(1)).unwrap();
        assert_eq!(log.encoded_image().version, MetadataVersion(2));
        drop(first);
        assert!(log.encoded.lock().unwrap().upgrade().is_none());
    }

    #[test]
    fn what_is_kept_for_followers_is_bounded() {
        let log = CommittedLog::default();
        let count = u64::try_from(RECENT_COUNT).unwrap() + 10;
        for version in 0..count {
            log.apply(batch(version)).unwrap();
        }
        assert!(matches!(log.next_after(MetadataVersion(0)), Next::Image));
        assert!(matches!(log.next_after(MetadataVersion(10)), Next::Batch(_)));
    }
}
