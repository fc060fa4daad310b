//! The `KAFKA_*` environment variables of the official images, as keys.
//!
//! Source: `KafkaDockerWrapper.getServerConfigsFromEnv` (apache/kafka) and `cub` (cp-kafka): after the prefix is cut
//! off, `___` is `-`, `__` is `_`, `_` is `.`, and letters are lower case.

/// Variables of the images that are for scripts and the JVM, not for the server.
const NOT_KEYS: &[&str] = &[
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_ZOOKEEPER_CLIENT_CNXN_SOCKET",
    "KAFKA_CLUSTER_ID",
    "KAFKA_HOME",
    "KAFKA_SCALA_VERSION",
    "KAFKA_USER",
    "KAFKA_DEBUG",
    "KAFKA_HOST",
    "KAFKA_PORT",
];

/// What Kubernetes injects for a service called `kafka`, and the log4j family.
const NOT_KEY_PREFIXES: &[&str] = &["KAFKA_SERVICE_", "KAFKA_PORT_", "KAFKA_LOG4J", "KAFKA_JAVA_"];

/// The key that a variable sets, or `None` when it is not a server setting.
pub(super) fn key_of(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix("KAFKA_")?;
    let is_other =
        NOT_KEYS.contains(&variable) || NOT_KEY_PREFIXES.iter().any(|prefix| variable.starts_with(prefix));
    if is_other || rest.is_empty() {
        return None;
    }
    let dotted = rest.to_lowercase().replace('_', ".");
    Some(dotted.replace("...", "-").replace("..", "_"))
}

/// The variable that sets a key: the inverse of [`key_of`], for messages.
pub(super) fn variable_of(key: &str) -> String {
    let escaped = key.replace('_', "__").replace('-', "___").replace('.', "_");
    format!("KAFKA_{}", escaped.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_keys_as_in_the_official_image() {
        let cases = [
            ("KAFKA_NODE_ID", Some("node.id")),
            ("KAFKA_BROKER_ID", Some("broker.id")),
            (
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
                Some("listener.security.protocol.map"),
            ),
            (
                "KAFKA_LISTENER_NAME_MY__L_SSL_KEY",
                Some("listener.name.my_l.ssl.key"),
            ),
            ("KAFKA_A___B", Some("a-b")),
            ("KAFKA_HEAP_OPTS", None),
            ("KAFKA_LOG4J_LOGGERS", None),
            ("KAFKA_LOG4J_ANYTHING", None),
            ("KAFKA_PORT_9092_TCP_ADDR", None),
            ("KAFKA_SERVICE_HOST", None),
            ("KAFKA_", None),
            ("CLUSTER_ID", None),
            ("PATH", None),
        ];
        for (variable, key) in cases {
            assert_eq!(key_of(variable).as_deref(), key, "{variable}");
        }
    }

    #[test]
    fn every_known_key_can_be_set_by_its_variable() {
        for spec in super::super::all_keys() {
            assert_eq!(key_of(&variable_of(spec.name)).as_deref(), Some(spec.name));
        }
    }
}
