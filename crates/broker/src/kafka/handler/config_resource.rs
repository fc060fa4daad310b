//! Configuration resources on the wire. Source: `ConfigResource.Type`.

use milena_metadata::record::ConfigResource;
use milena_metadata::request::Outcome;
use milena_types::{BrokerId, ErrorCode, TopicName};

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

/// The resource that a request means. BROKER_LOGGER is none of the metadata: whoever serves it looks for it first.
///
/// # Errors
/// The outcome for this resource.
pub(super) fn parse(kind: i8, name: &str) -> Result<ConfigResource, Outcome> {
    match kind {
        TOPIC => match TopicName::new(name) {
            Ok(name) => Ok(ConfigResource::Topic(name)),
            Err(error) => Err(Outcome::failed(
                crate::kafka::error_map::topic_name_error(&error),
                error.to_string(),
            )),
        },
        BROKER if name.is_empty() => Ok(ConfigResource::Broker(None)),
        BROKER => match name.parse() {
            Ok(id) if id >= 0 => Ok(ConfigResource::Broker(Some(BrokerId(id)))),
            _ => Err(Outcome::failed(
                ErrorCode::InvalidRequest,
                format!("Node id must be an integer, but it is: {}", name.escape_debug()),
            )),
        },
        GROUP => Ok(ConfigResource::Group(name.to_owned())),
        CLIENT_METRICS => Ok(ConfigResource::ClientMetrics(name.to_owned())),
        other => Err(Outcome::failed(
            ErrorCode::InvalidRequest,
            format!("unknown resource type {other}"),
        )),
    }
}

/// (type, name) as a response carries them.
pub(super) fn wire(resource: &ConfigResource) -> (i8, String) {
    match resource {
        ConfigResource::Topic(name) => (TOPIC, name.as_str().to_owned()),
        ConfigResource::Broker(None) => (BROKER, String::new()),
        ConfigResource::Broker(Some(id)) => (BROKER, id.to_string()),
        ConfigResource::Group(name) => (GROUP, name.clone()),
        ConfigResource::ClientMetrics(name) => (CLIENT_METRICS, name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_translate_both_ways() {
        for (kind, name) in [
            (TOPIC, "orders"),
            (BROKER, ""),
            (BROKER, "3"),
            (GROUP, "g"),
            (CLIENT_METRICS, "m"),
        ] {
            assert_eq!(wire(&parse(kind, name).unwrap()), (kind, name.to_owned()));
        }
        assert_eq!(
            parse(TOPIC, "a/b").unwrap_err().error,
            ErrorCode::InvalidTopicException
        );
        for (kind, name) in [(BROKER, "x"), (BROKER, "-1"), (BROKER_LOGGER, "1"), (99, "x")] {
            assert_eq!(
                parse(kind, name).unwrap_err().error,
                ErrorCode::InvalidRequest,
                "{kind} {name}"
            );
        }
    }
}
