//! What is too old, or too much, leaves the quarantine.

use super::{Gates, quarantine};
use crate::shard::context::wall_clock;
use crate::shard::mailbox::with_local;

/// Looks at every directory once; off the data thread.
pub(in crate::shard) async fn sweep() {
    let count = with_local(|shard| shard.cx.dirs.count()).unwrap_or_default();
    for dir in 0..count {
        let found = with_local(|shard| {
            let gates: &Gates = &shard.cx.background.gates;
            let online = shard.cx.dirs.is_online(dir);
            let rules = shard.cx.config.replica.quarantine;
            let quarantine = quarantine(&shard.cx.dirs, dir, rules).filter(|_| online)?;
            Some((gates.of(dir), gates.awaited(), quarantine))
        });
        let Some((gate, awaited, quarantine)) = found.flatten() else {
            continue;
        };
        let alone = gate.lock_owned().await;
        // A panic there would be a defect; the next round looks again.
        let _ = tokio::task::spawn_blocking(move || {
            let _alone = alone;
            match quarantine.sweep(wall_clock()) {
                Ok(removed) => {
                    for tail in removed {
                        if awaited.tell_removed(&tail) {
                            continue;
                        }
                        tracing::info!(path = %tail.path.display(), bytes = tail.bytes, "a lost tail leaves the quarantine");
                    }
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "cannot look through the quarantine");
                }
            }
        })
        .await;
    }
}
