//! What exists only while something of a log is on its way to the disk, or waits to go there.

use super::AbortedTxn;
use super::flush::PendingVersions;
use super::versioned_file::SmallFiles;
use milena_types::{Offset, Timestamp};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;

/// What an idle log has nothing of.
#[derive(Debug)]
pub(super) struct Unsettled {
    /// Exists once a flush was asked for.
    pub(super) small_files: Option<Arc<SmallFiles>>,
    /// Aborts of the last segment that are in no index yet, because there was no space for it.
    pub(super) unsaved_aborts: Vec<AbortedTxn>,
    /// Closed segments whose indexes have not been forced to the disk, and how many of them the last ticket covers.
    pub(super) unsynced_seals: Vec<Offset>,
    pub(super) seals_submitted: usize,
    /// What tickets carried besides records, and what of it is durable.
    pub(super) pending: PendingVersions,
    /// Renamed files and when they are to go.
    pub(super) removals: Vec<(Timestamp, PathBuf)>,
}

static NOTHING: Unsettled = Unsettled::nothing();

impl Unsettled {
    const fn nothing() -> Self {
        Self {
            small_files: None,
            unsaved_aborts: Vec::new(),
            unsynced_seals: Vec::new(),
            seals_submitted: 0,
            pending: PendingVersions::none(),
            removals: Vec::new(),
        }
    }

    fn is_nothing(&self) -> bool {
        self.small_files.is_none()
            && self.unsaved_aborts.is_empty()
            && self.unsynced_seals.is_empty()
            && self.pending == PendingVersions::none()
            && self.removals.is_empty()
    }
}

/// [`Unsettled`] that takes memory from the first change to [`InFlight::shrink`]; most logs are idle.
#[derive(Debug, Default)]
pub(super) struct InFlight(Option<Box<Unsettled>>);

impl InFlight {
    /// Gives back the memory that nothing in flight takes.
    pub(super) fn shrink(&mut self) {
        self.0.take_if(|unsettled| unsettled.is_nothing());
        if let Some(unsettled) = &mut self.0 {
            unsettled.unsynced_seals.shrink_to_fit();
            unsettled.removals.shrink_to_fit();
        }
    }
}

impl Deref for InFlight {
    type Target = Unsettled;

    fn deref(&self) -> &Unsettled {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for InFlight {
    fn deref_mut(&mut self) -> &mut Unsettled {
        self.0.get_or_insert_with(|| Box::new(Unsettled::nothing()))
    }
}
