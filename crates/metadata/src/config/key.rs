//! What one configuration key is: its type, its default, the values it takes, its broker-level names.
//!
//! The texts of errors are Kafka's, because people and tests search for them. Source: `ConfigDef`.

use std::collections::HashSet;

/// A configuration that is refused (INVALID_CONFIG); the texts are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nobody knows the key.
    #[error("Unknown topic config name: {0}")]
    UnknownTopicKey(String),
    /// Nobody knows the key of a group or client-metrics resource.
    #[error("Unknown {kind} config name: {key}")]
    UnknownKey {
        /// `group` or `client metrics`.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// The value is not of the key's type or range.
    #[error("Invalid value {value} for configuration {key}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// The value as written.
        value: String,
        /// What is allowed.
        reason: String,
    },
    /// A list that names an item twice.
    #[error("Configuration '{0}' values must not be duplicated.")]
    Duplicated(String),
    /// Two settings that contradict each other.
    #[error("{0}")]
    Contradiction(String),
}

/// The type of a value. Source: `ConfigDef.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ConfigType {
    Boolean,
    String,
    Int,
    Long,
    Double,
    List,
}

impl ConfigType {
    /// The number in DescribeConfigs responses. Source: `DescribeConfigsResponse.ConfigType`.
    #[must_use]
    pub fn wire_code(self) -> i8 {
        match self {
            ConfigType::Boolean => 1,
            ConfigType::String => 2,
            ConfigType::Int => 3,
            ConfigType::Long => 5,
            ConfigType::Double => 6,
            ConfigType::List => 7,
        }
    }

    fn name(self) -> &'static str {
        match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
        }
    }
}

/// Which values of the type are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// All.
    Any,
    /// A number that is not smaller.
    AtLeast(i64),
    /// A number in a closed range.
    Between(i64, i64),
    /// A number in a closed range, or this one.
    BetweenOr(i64, i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these words, each at most once.
    ListOf(&'static [&'static str]),
    /// `*` or a list of `partition:broker`.
    ThrottledReplicas,
}

/// How a broker-level value becomes the topic's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As it is.
    Same,
    /// It counts minutes, the topic's milliseconds.
    Minutes,
    /// It counts hours, the topic's milliseconds.
    Hours,
}

impl Unit {
    /// The broker-level value in the topic's unit; `None` when it is not a number or too big.
    #[must_use]
    pub fn convert(self, value: &str) -> Option<String> {
        let factor: i64 = match self {
            Unit::Same => return Some(value.to_owned()),
            Unit::Minutes => 60_000,
            Unit::Hours => 3_600_000,
        };
        let number: i64 = value.trim().parse().ok()?;
        // -1 stands for "no limit" in every unit.
        let converted = if number == -1 {
            -1
        } else {
            number.checked_mul(factor)?
        };
        Some(converted.to_string())
    }
}

/// A broker-level name for the default of a topic configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// For example `log.retention.hours`.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
}

/// One configuration key.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// As written in requests.
    pub name: &'static str,
    /// Its type.
    pub kind: ConfigType,
    /// Kafka's default, as text.
    pub default: &'static str,
    /// Which values are allowed.
    pub check: Check,
    /// Broker-level names, the strongest first.
    pub synonyms: &'static [Synonym],
    /// One sentence for people.
    pub doc: &'static str,
    /// Never shown.
    pub sensitive: bool,
    /// Accepted, but not listed by DescribeConfigs.
    pub internal: bool,
}

impl ConfigKey {
    /// Checks a value's type and range.
    ///
    /// # Errors
    /// [`ConfigError::Value`] or [`ConfigError::Duplicated`], in Kafka's words.
    pub fn validate(&self, value: &str) -> Result<(), ConfigError> {
        let trimmed = value.trim();
        match self.kind {
            ConfigType::Boolean => match parse_bool(trimmed) {
                Some(_) => Ok(()),
                None => Err(self.refuse(value, "Expected value to be either true or false")),
            },
            ConfigType::Int => self.check_number(value, trimmed.parse::<i32>().ok().map(f64::from)),
            ConfigType::Long => self.check_long(value, trimmed.parse::<i64>().ok()),
            ConfigType::Double => {
                self.check_number(value, trimmed.parse::<f64>().ok().filter(|n| !n.is_nan()))
            }
            ConfigType::String => self.check_word(trimmed),
            ConfigType::List => self.check_list(trimmed),
        }
    }

    fn refuse(&self, value: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            key: self.name.to_owned(),
            value: value.to_owned(),
            reason: reason.into(),
        }
    }

    fn not_a_number(&self, value: &str) -> ConfigError {
        self.refuse(value, format!("Not a number of type {}", self.kind.name()))
    }

    fn check_long(&self, value: &str, number: Option<i64>) -> Result<(), ConfigError> {
        let number = number.ok_or_else(|| self.not_a_number(value))?;
        match self.check {
            Check::AtLeast(min) if number < min => {
                Err(self.refuse(value, format!("Value must be at least {min}")))
            }
            _ => Ok(()),
        }
    }

    // Ranges are compared as doubles, as Kafka does; every bound in the tables is exact in a double.
    #[allow(clippy::cast_precision_loss)]
    fn check_number(&self, value: &str, number: Option<f64>) -> Result<(), ConfigError> {
        let number = number.ok_or_else(|| self.not_a_number(value))?;
        match self.check {
            Check::AtLeast(min) | Check::Between(min, _) if number < min as f64 => {
                Err(self.refuse(value, format!("Value must be at least {min}")))
            }
            Check::Between(_, max) if number > max as f64 => {
                Err(self.refuse(value, format!("Value must be no more than {max}")))
            }
            Check::BetweenOr(min, max, other)
                if number > max as f64 || (number < min as f64 && number != other as f64) =>
            {
                Err(self.refuse(
                    value,
                    format!("Value must be between {min} and {max} or equal to {other}"),
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_word(&self, word: &str) -> Result<(), ConfigError> {
        match self.check {
            Check::OneOf(words) | Check::ListOf(words) if !words.contains(&word) => {
                Err(self.refuse(word, format!("String must be one of: {}", words.join(", "))))
            }
            _ => Ok(()),
        }
    }

    fn check_list(&self, text: &str) -> Result<(), ConfigError> {
        let items = parse_list(text);
        match self.check {
            Check::ListOf(_) => {
                let mut seen = HashSet::new();
                for item in items {
                    self.check_word(item)?;
                    if !seen.insert(item) {
                        return Err(ConfigError::Duplicated(self.name.to_owned()));
                    }
                }
                Ok(())
            }
            Check::ThrottledReplicas if !is_throttled_list(&items) => Err(self.refuse(
                &format!("[{}]", items.join(", ")),
                format!(
                    "{} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                    self.name
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// True when a broker-level key is the default of some topic configuration.
#[must_use]
pub fn is_broker_synonym(name: &str) -> bool {
    super::TOPIC_KEYS
        .iter()
        .any(|k| k.synonyms.iter().any(|s| s.name == name))
}

/// `true` or `false` in any case.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text.trim() {
        t if t.eq_ignore_ascii_case("true") => Some(true),
        t if t.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The items of a comma-separated list, without the blanks around them; the empty text is the empty list.
pub(crate) fn parse_list(text: &str) -> Vec<&str> {
    let text = text.trim();
    if text.is_empty() {
        Vec::new()
    } else {
        text.split(',').map(str::trim).collect()
    }
}

fn is_throttled_list(items: &[&str]) -> bool {
    let is_number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let is_replica = |item: &&str| {
        item.is_empty()
            || item
                .split_once(':')
                .is_some_and(|(p, b)| is_number(p) && is_number(b))
    };
    items.concat() == "*" || items.iter().all(is_replica)
}
