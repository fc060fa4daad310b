//! A broker of one data thread, or a few, without a controller: what it knows of the cluster it is told by a test.

use super::log_dirs::LogDirs;
use super::no_control::NoControl;
use super::router::Router;
use super::thread::{DataThreads, DataThreadsConfig};
use crate::config::BrokerConfig;
use milena_metadata::record::{BrokerRegistration, MetadataBatch, MetadataRecord};
use milena_metadata::{MetadataDelta, MetadataImage};
use milena_types::{BrokerEpoch, BrokerId, ClusterId, IncarnationId};
use std::path::PathBuf;
use std::sync::Arc;

/// Its id.
pub(super) const NODE: BrokerId = BrokerId(1);

/// The broker, and the metadata that it was told.
pub(super) struct LoneBroker {
    pub(super) threads: DataThreads,
    pub(super) router: Router,
    /// Its log directories.
    pub(super) paths: Vec<PathBuf>,
    pub(super) image: MetadataImage,
    _root: tempfile::TempDir,
}

impl LoneBroker {
    /// With so many log directories.
    pub(super) fn start(dirs: usize) -> Self {
        Self::of_threads(1, dirs)
    }

    pub(super) fn of_threads(threads: usize, dirs: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..dirs).map(|dir| root.path().join(dir.to_string())).collect();
        let opened = LogDirs::open(&paths, NODE, &ClusterId("c".to_owned()));
        let config = BrokerConfig {
            node_id: NODE,
            data_threads: Some(threads),
            ..BrokerConfig::default()
        };
        let threads = DataThreads::start(DataThreadsConfig {
            config: Arc::new(config),
            dirs: Arc::new(opened.unwrap()),
            control: Arc::new(NoControl),
        });
        let threads = threads.unwrap();
        Self {
            router: threads.router(),
            threads,
            paths,
            image: MetadataImage::default(),
            _root: root,
        }
    }

    /// Tells it what has changed; it has followed that afterwards.
    pub(super) async fn commit(&mut self, records: Vec<MetadataRecord>) {
        self.tell(records).await;
    }

    /// Likewise; it has followed that when what is returned resolves.
    pub(super) fn tell(&mut self, records: Vec<MetadataRecord>) -> impl Future<Output = ()> + use<> {
        let batch = MetadataBatch {
            expected_version: self.image.version,
            records,
        };
        let delta: MetadataDelta = self.image.apply(&batch).unwrap();
        let image = Arc::new(self.image.clone());
        self.router.apply_metadata(image, Arc::new(delta))
    }

    /// Stops it; all its logs are closed cleanly.
    pub(super) async fn stop(self) {
        assert!(self.threads.shutdown().await);
    }
}

/// A broker of the cluster.
pub(super) fn registered(id: BrokerId) -> MetadataRecord {
    MetadataRecord::Broker(BrokerRegistration {
        id,
        epoch: BrokerEpoch(1),
        incarnation: IncarnationId::random(),
        endpoints: Vec::new(),
        rack: None,
        directories: Vec::new(),
        fenced: false,
        in_controlled_shutdown: false,
    })
}
