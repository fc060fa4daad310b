//! What a key is: its type, its default, the values it allows; and the parsing of values.
//!
//! Source: `org.apache.kafka.common.config.ConfigDef`.

use super::kafka_table::KAFKA_KEYS;
use super::own_table::OWN_KEYS;
use std::fmt;

/// The type of a key's values. Source: `ConfigDef.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Boolean,
    /// 16 bits, signed.
    Short,
    /// 32 bits, signed.
    Int,
    /// 64 bits, signed.
    Long,
    /// 64-bit floating point.
    Double,
    /// Text.
    String,
    /// Texts separated by commas.
    List,
    /// Text that is never shown.
    Password,
    /// The name of a Java class.
    Class,
}

/// The values of the type that are allowed. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    /// All.
    Any,
    /// At least.
    Min(i64),
    /// From, to.
    Range(i64, i64),
    /// From, to, or this one value.
    RangeOr(i64, i64, i64),
    /// From, to.
    Between(f64, f64),
    /// One of these; of a list: each item.
    OneOf(&'static [&'static str]),
    /// One of these, in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// Of a list: one of these or more.
    SomeOf(&'static [&'static str]),
    /// Text or a list that is not empty.
    NotEmpty,
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeySpec {
    /// As written in `server.properties`.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// As it would be written; `None` when there is none.
    pub default: Option<&'static str>,
    /// The values it allows.
    pub allowed: Allowed,
}

/// A parsed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a Boolean.
    Boolean(bool),
    /// Of a Short, Int or Long.
    Integer(i64),
    /// Of a Double.
    Double(f64),
    /// Of a String, Password or Class.
    Text(String),
    /// Of a List; no item is empty.
    List(Vec<String>),
}

/// Makes a row of a table.
pub(super) const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    allowed: Allowed,
) -> KeySpec {
    KeySpec {
        name,
        kind,
        default,
        allowed,
    }
}

/// All keys, Kafka's and Milena's own.
pub fn all_keys() -> impl Iterator<Item = &'static KeySpec> {
    KAFKA_KEYS.iter().chain(OWN_KEYS)
}

/// The key of this name.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static KeySpec> {
    let find = |table: &'static [KeySpec]| {
        table
            .binary_search_by(|spec| spec.name.cmp(name))
            .ok()
            .map(|at| &table[at])
    };
    find(KAFKA_KEYS).or_else(|| find(OWN_KEYS))
}

impl Kind {
    /// The number in DescribeConfigs responses. Source: `DescribeConfigsResponse.ConfigType`.
    #[must_use]
    pub fn wire_code(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }
}

impl KeySpec {
    /// True when the value must not be shown.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Reads a value; `None` when the type or the bounds do not allow it. An empty text is a value like any other: of a
    /// list it has no items, and it is no number, no Boolean and no class. Source: `ConfigDef.parseType`,
    /// `ConfigDef.ValidList`.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<Value> {
        let text = text.trim();
        let value = match self.kind {
            Kind::Boolean => Value::Boolean(parse_boolean(text)?),
            Kind::Short => Value::Integer(i64::from(text.parse::<i16>().ok()?)),
            Kind::Int => Value::Integer(i64::from(text.parse::<i32>().ok()?)),
            Kind::Long => Value::Integer(text.parse().ok()?),
            Kind::Double => Value::Double(text.parse().ok().filter(|d: &f64| d.is_finite())?),
            Kind::Class if text.is_empty() => return None,
            Kind::String | Kind::Password | Kind::Class => Value::Text(text.to_owned()),
            Kind::List => Value::List(parse_list(text)?),
        };
        self.allowed.admits(&value).then_some(value)
    }

    /// True for Kafka's own switches, which are shown only where they were set.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        super::dynamic::INTERNAL.binary_search(&self.name).is_ok()
    }

    /// What is allowed, for people: `an integer of at least 1`.
    #[must_use]
    pub fn allowed_text(&self) -> String {
        let noun = match self.kind {
            Kind::Boolean => return "true or false".to_owned(),
            Kind::Short => "an integer of 16 bits",
            Kind::Int => "an integer of 32 bits",
            Kind::Long => "an integer of 64 bits",
            Kind::Double => "a number",
            Kind::String | Kind::Password => "text",
            Kind::List => "a list separated by commas",
            Kind::Class => "a class name",
        };
        match self.allowed {
            Allowed::Any => noun.to_owned(),
            Allowed::OneOf(_) | Allowed::OneOfAnyCase(_) if self.kind != Kind::List => {
                self.allowed.to_string()
            }
            Allowed::OneOf(items) => format!("{noun}, each one of {}", items.join(", ")),
            allowed => format!("{noun}, {allowed}"),
        }
    }
}

/// An empty item is refused, also at the end.
fn parse_list(text: &str) -> Option<Vec<String>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let item = |item: &str| Some(item.trim().to_owned()).filter(|item| !item.is_empty());
    text.split(',').map(item).collect()
}

fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

impl Allowed {
    fn admits(self, value: &Value) -> bool {
        let integer = |admits: &dyn Fn(i64) -> bool| match value {
            Value::Integer(n) => admits(*n),
            Value::Double(d) => admits(d.floor() as i64),
            _ => true,
        };
        match self {
            Allowed::Any => true,
            Allowed::Min(min) => integer(&|n| n >= min),
            Allowed::Range(from, to) => integer(&|n| (from..=to).contains(&n)),
            Allowed::RangeOr(from, to, or) => integer(&|n| (from..=to).contains(&n) || n == or),
            Allowed::Between(from, to) => match value {
                Value::Double(d) => (from..=to).contains(d),
                _ => true,
            },
            Allowed::OneOf(items) => value.texts().all(|t| items.contains(&t)),
            Allowed::OneOfAnyCase(items) => value
                .texts()
                .all(|t| items.iter().any(|item| item.eq_ignore_ascii_case(t))),
            Allowed::SomeOf(items) => !value.is_empty() && value.texts().all(|t| items.contains(&t)),
            Allowed::NotEmpty => !value.is_empty(),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Any => f.write_str("any"),
            Allowed::Min(min) => write!(f, "at least {min}"),
            Allowed::Range(from, to) => write!(f, "{from} to {to}"),
            Allowed::RangeOr(from, to, or) => write!(f, "{from} to {to}, or {or}"),
            Allowed::Between(from, to) => write!(f, "{from} to {to}"),
            Allowed::OneOf(items) | Allowed::OneOfAnyCase(items) => write!(f, "one of {}", items.join(", ")),
            Allowed::SomeOf(items) => write!(f, "one or more of {}", items.join(", ")),
            Allowed::NotEmpty => f.write_str("not empty"),
        }
    }
}

impl Value {
    /// An empty text, or a list without items.
    fn is_empty(&self) -> bool {
        match self {
            Value::Text(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            _ => false,
        }
    }

    /// The text, or the items of a list.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let (one, many): (Option<&str>, &[String]) = match self {
            Value::Text(text) => (Some(text), &[]),
            Value::List(items) => (None, items),
            _ => (None, &[]),
        };
        one.into_iter().chain(many.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_sorted_and_their_defaults_are_allowed() {
        for table in [KAFKA_KEYS, OWN_KEYS] {
            assert!(table.windows(2).all(|w| w[0].name < w[1].name));
        }
        assert_eq!(KAFKA_KEYS.len(), 360);
        for spec in all_keys() {
            if let Some(default) = spec.default {
                assert!(spec.parse(default).is_some(), "{} = {default}", spec.name);
            }
            assert_eq!(lookup(spec.name), Some(spec));
        }
    }

    #[test]
    fn values_outside_type_or_bounds_are_refused() {
        let cases = [
            ("log.segment.bytes", "1048575", false),
            ("log.segment.bytes", " 1048576 ", true),
            ("log.segment.bytes", "2147483648", false),
            ("log.segment.bytes", "1e6", false),
            ("auto.create.topics.enable", "TRUE", true),
            ("auto.create.topics.enable", "yes", false),
            ("offsets.topic.replication.factor", "32768", false),
            ("compression.gzip.level", "-1", true),
            ("compression.gzip.level", "0", false),
            ("log.cleaner.min.cleanable.ratio", "1.01", false),
            ("log.cleaner.min.cleanable.ratio", "0.3", true),
            ("log.cleaner.io.buffer.load.factor", "NaN", false),
            ("log.cleanup.policy", "compact, delete", true),
            ("log.cleanup.policy", "compact,erase", false),
            ("group.consumer.migration.policy", "Upgrade", true),
            ("compression.type", "ZSTD", false),
            ("ack.durability", "flushed", true),
            ("ack.durability", "never", false),
            // Empty: what Kafka 4.3.1 says to each of its keys.
            ("node.id", "", false),
            ("log.retention.ms", " ", false),
            ("log.cleaner.min.cleanable.ratio", "", false),
            ("auto.create.topics.enable", "", false),
            ("compression.type", "", false),
            ("principal.builder.class", "", false),
            ("remote.log.storage.manager.class.name", "", false),
            ("inter.broker.listener.name", "", false),
            ("process.roles", "", false),
            ("log.dirs", "", false),
            ("log.dir", "", false),
            ("listeners", "", false),
            ("advertised.listeners", "", false),
            ("controller.listener.names", "", false),
            ("group.coordinator.rebalance.protocols", "", false),
            ("broker.rack", "", true),
            ("ssl.keystore.password", "", true),
            ("authorizer.class.name", "", true),
            ("log.cleanup.policy", "", true),
            ("sasl.enabled.mechanisms", "", true),
            ("controller.quorum.voters", "", true),
            ("milena.admin.listen", "", true),
            // Empty items.
            ("log.dirs", "/a,,/b", false),
            ("log.dirs", ",", false),
            ("sasl.enabled.mechanisms", "PLAIN,", false),
            ("process.roles", "broker, controller", true),
        ];
        for (name, text, is_allowed) in cases {
            assert_eq!(
                lookup(name).unwrap().parse(text).is_some(),
                is_allowed,
                "{name}={text}"
            );
        }
        assert_eq!(
            lookup("log.segment.bytes").unwrap().allowed_text(),
            "an integer of 32 bits, at least 1048576"
        );
        for (name, text) in [
            ("ack.durability", "one of flushed, replicated"),
            (
                "process.roles",
                "a list separated by commas, one or more of broker, controller",
            ),
            (
                "log.cleanup.policy",
                "a list separated by commas, each one of compact, delete",
            ),
            ("log.dirs", "a list separated by commas, not empty"),
        ] {
            assert_eq!(lookup(name).unwrap().allowed_text(), text);
        }
    }
}
