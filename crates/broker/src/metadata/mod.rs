//! The last applied metadata image, for every thread to read, and its copy on disk.

mod cache;
mod saved_image;

pub use cache::{MetadataCache, MetadataUpdate};
pub use saved_image::{SavedImage, SavedImageError};
