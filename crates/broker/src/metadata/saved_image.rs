//! The copy of the last image on disk: a restarted broker asks the controller only for what is new.
//!
//! File `metadata.image` in `metadata.log.dir`, replaced atomically. Layout: the encoding of `milena_rpc::encode_image`
//! (one format byte, then protobuf). Losing it costs one snapshot from the controller, nothing else; a file that cannot
//! be read is therefore reported and ignored.

use milena_metadata::MetadataImage;
use milena_rpc::{EncodingError, decode_image, encode_image};
use std::io;
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "metadata.image";

/// Why the saved image was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum SavedImageError {
    /// The file system said no.
    #[error("metadata image {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The bytes are not an image of a known format.
    #[error("metadata image {}: {source}", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: EncodingError,
    },
}

/// Where the image is saved.
#[derive(Clone, Debug)]
pub struct SavedImage {
    path: PathBuf,
}

impl SavedImage {
    /// In this directory.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            path: dir.join(FILE_NAME),
        }
    }

    /// The saved image; `None` when there is none.
    ///
    /// # Errors
    /// [`SavedImageError`]: start without it.
    pub fn load(&self) -> Result<Option<MetadataImage>, SavedImageError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => decode_image(&bytes)
                .map(Some)
                .map_err(|source| SavedImageError::Encoding {
                    path: self.path.clone(),
                    source,
                }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SavedImageError::Io {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Replaces the saved image. Blocks on the disk.
    ///
    /// # Errors
    /// [`SavedImageError::Io`]: the former image is still there.
    pub fn save(&self, image: &MetadataImage) -> Result<(), SavedImageError> {
        let written = self.path.with_extension("image.tmp");
        std::fs::write(&written, encode_image(image))
            .and_then(|()| std::fs::File::open(&written)?.sync_all())
            .and_then(|()| std::fs::rename(&written, &self.path))
            .map_err(|source| SavedImageError::Io {
                path: self.path.clone(),
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::MetadataVersion;

    #[test]
    fn an_image_survives_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let saved = SavedImage::in_dir(dir.path());
        assert!(saved.load().unwrap().is_none());
        let image = MetadataImage {
            version: MetadataVersion(7),
            ..MetadataImage::default()
        };
        saved.save(&image).unwrap();
        assert_eq!(saved.load().unwrap().unwrap().version, MetadataVersion(7));
        std::fs::write(dir.path().join(FILE_NAME), [99, 1, 2]).unwrap();
        assert!(matches!(saved.load(), Err(SavedImageError::Encoding { .. })));
    }
}
