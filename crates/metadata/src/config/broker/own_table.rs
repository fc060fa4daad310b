//! The keys that Milena adds to Kafka's. Data only, sorted by name.

use super::key::Allowed::{Any, Min, NotEmpty, OneOf};
use super::key::Kind::{Int, Long, String};
use super::key::{KeySpec, key};

#[rustfmt::skip]
pub(super) const OWN_KEYS: &[KeySpec] = &[
    // When a replica may advertise an offset towards acks=all, for topics without a setting of their own.
    key("ack.durability", String, Some("flushed"), OneOf(&["flushed", "replicated"])),
    // How often the active controller tells the other voters that it lives.
    key("controller.quorum.heartbeat.ms", Int, Some("200"), Min(1)),
    // host:port of the HTTP admin endpoint (/health, /ready, /metrics, /log-level); empty for none.
    key("milena.admin.listen", String, Some(""), Any),
    // How long a replica whose log is in doubt after a crash leaves it uncut, for others to lead.
    key("milena.doubtful.replica.wait.ms", Int, Some("30000"), Min(0)),
    // How long a flush may take before other replicas go on without those of its disk.
    key("milena.flush.stall.ms", Int, Some("10000"), Min(100)),
    // text or json.
    key("milena.log.format", String, Some("text"), OneOf(&["text", "json"])),
    // error, warn, info, debug, trace, or directives such as `info,milena_broker=debug`.
    key("milena.log.level", String, Some("info"), NotEmpty),
    // Bytes of the tails lost in unclean elections that are kept in each log directory; 0: they are not kept.
    key("milena.quarantine.max.bytes", Long, Some("1073741824"), Min(0)),
    // How long they are kept.
    key("milena.quarantine.retention.ms", Long, Some("604800000"), Min(0)),
];
