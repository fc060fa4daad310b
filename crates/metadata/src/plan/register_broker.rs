//! A broker registers: it gets an epoch, starts fenced, and its former self is cleaned up.
//!
//! ```text
//! same incarnation ──► amended: epoch, fencing and shutdown state stay
//! new incarnation  ──► new epoch, fenced; leaves every ISR; what it may have lost decides whether it stays in ELRs
//! ```
//!
//! Source: `ClusterControlManager.registerBroker`, KIP-631, KIP-966.

use super::broker_gone::{self, Storage};
use super::context::{PlanContext, Planned};
use super::draft::Draft;
use crate::image::MetadataImage;
use crate::liveness::Liveness;
use crate::record::{BrokerRegistration, MetadataRecord};
use crate::request::{Outcome, RegisterBroker, RegisterBrokerReply};
use milena_types::mutants::{Mutant, on};
use milena_types::{BrokerEpoch, DirectoryId, ErrorCode, Uuid};

/// Directory ids below this one have a meaning of their own in Kafka (`DirectoryId.reserved`).
const RESERVED_DIRECTORIES: u8 = 100;

/// Plans a registration.
///
/// Errors in the reply: INCONSISTENT_CLUSTER_ID, DUPLICATE_BROKER_REGISTRATION, INVALID_REGISTRATION.
#[must_use]
pub fn register_broker(
    image: &MetadataImage,
    request: &RegisterBroker,
    liveness: &Liveness,
    ctx: &PlanContext<'_>,
) -> Planned<RegisterBrokerReply> {
    if let Err(outcome) = validate(image, request, liveness, ctx) {
        let cluster = image.cluster.clone();
        return Planned::reply(RegisterBrokerReply {
            outcome,
            epoch: BrokerEpoch(-1),
            cluster,
        });
    }
    let existing = image.broker(request.broker);
    let mut draft = Draft::new(image, ctx);
    let registration = match existing {
        Some(same) if same.incarnation == request.incarnation => BrokerRegistration {
            epoch: same.epoch,
            fenced: same.fenced,
            in_controlled_shutdown: same.in_controlled_shutdown,
            ..registration(image, request)
        },
        _ => {
            broker_gone::came_back(&mut draft, request.broker, storage(existing, request));
            registration(image, request)
        }
    };
    let epoch = registration.epoch;
    draft.push(MetadataRecord::Broker(registration));
    draft.reply(RegisterBrokerReply {
        outcome: Outcome::OK,
        epoch,
        cluster: image.cluster.clone(),
    })
}

/// The epoch is the version of the image in which the registration will first be.
fn registration(image: &MetadataImage, request: &RegisterBroker) -> BrokerRegistration {
    let mut directories = request.directories.clone();
    if let Some(before) = image.broker(request.broker)
        && !is_missing(before, request)
    {
        directories.extend(absent(before, request));
    }
    BrokerRegistration {
        id: request.broker,
        epoch: BrokerEpoch(i64::try_from(image.version.next().0).unwrap_or(i64::MAX)),
        incarnation: request.incarnation,
        endpoints: request.endpoints.clone(),
        rack: request.rack.clone(),
        directories,
        fenced: true,
        in_controlled_shutdown: false,
    }
}

/// The directories of the registration before that are not in this one.
fn absent<'a>(
    before: &'a BrokerRegistration,
    request: &'a RegisterBroker,
) -> impl Iterator<Item = DirectoryId> + 'a {
    let known = before.directories.iter().copied();
    known.filter(|directory| !request.directories.contains(directory))
}

/// True when a directory is gone for good, or another disk is in its place; one that cannot be read now may come back as it was.
fn is_missing(before: &BrokerRegistration, request: &RegisterBroker) -> bool {
    let unreadable = usize::try_from(request.unreadable_directories).unwrap_or(usize::MAX);
    absent(before, request).count() > unreadable
}

/// What is left of the data of the registration before this one. Which replica is in which directory is not known here, so that
/// one missing directory makes all suspect. One that cannot be read does not: its replicas keep what they may claim, but the broker
/// reports them offline before it is unfenced, so that none of them is elected, and makes no empty log for one of them while a
/// directory cannot be read. In Kafka likewise they are offline replicas (KIP-858), which catch up when the directory is back.
fn storage(existing: Option<&BrokerRegistration>, request: &RegisterBroker) -> Storage {
    match existing {
        None => Storage::Lost,
        Some(before) if is_missing(before, request) && !on(Mutant::WipedDiskTrusted) => Storage::Lost,
        Some(before) if request.previous_epoch == Some(before.epoch) => Storage::Clean,
        // The mark of a clean stop goes, durably, before a process registers: this very process may name an older one, and else only
        // one whose registration came too late. That one is gone; its broker is taken for less than it is until it has caught up.
        Some(before) if request.previous_epoch.is_some() && before.incarnation != request.incarnation => {
            Storage::Older
        }
        Some(_) => Storage::Survived,
    }
}

fn validate(
    image: &MetadataImage,
    request: &RegisterBroker,
    liveness: &Liveness,
    ctx: &PlanContext<'_>,
) -> Result<(), Outcome> {
    if let (Some(ours), Some(theirs)) = (&image.cluster, &request.cluster)
        && ours != theirs
    {
        let message = format!("Expected cluster ID {ours}, but got cluster ID {theirs}");
        return Err(Outcome::failed(ErrorCode::InconsistentClusterId, message));
    }
    if let Some(existing) = image.broker(request.broker)
        && existing.incarnation != request.incarnation
        && liveness.has_live_session(image, request.broker, ctx.now)
        && !is_restart(existing, request)
    {
        let message = "Another broker is registered with that broker id.";
        return Err(Outcome::failed(ErrorCode::DuplicateBrokerRegistration, message));
    }
    validate_directories(image, request).map_err(|m| Outcome::failed(ErrorCode::InvalidRegistration, m))
}

/// Proof that the former process is gone, so that a restart need not wait for its session to end: a directory is
/// locked by the process that uses it, and an address is bound by the process that listens on it.
fn is_restart(existing: &BrokerRegistration, request: &RegisterBroker) -> bool {
    let same_directory = existing
        .directories
        .iter()
        .any(|d| request.directories.contains(d));
    same_directory && existing.endpoints == request.endpoints
}

fn is_reserved(directory: &DirectoryId) -> bool {
    let Uuid(bytes) = directory.0;
    bytes[..15].iter().all(|b| *b == 0) && bytes[15] < RESERVED_DIRECTORIES
}

fn validate_directories(image: &MetadataImage, request: &RegisterBroker) -> Result<(), String> {
    let directories = &request.directories;
    if directories.is_empty() {
        return Err("No directories specified in request".to_owned());
    }
    if directories.iter().any(is_reserved) {
        return Err("Reserved directory ID in request".to_owned());
    }
    if directories
        .iter()
        .enumerate()
        .any(|(at, d)| directories[..at].contains(d))
    {
        return Err("Duplicate directory ID in request".to_owned());
    }
    for other in image.brokers.values().filter(|b| b.id != request.broker) {
        if let Some(taken) = directories.iter().find(|d| other.directories.contains(d)) {
            return Err(format!(
                "Broker {} is already registered with directory {taken}",
                other.id
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "register_broker_test.rs"]
mod tests;
