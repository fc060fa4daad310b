//! One figure under the name that Kafka gives it; how it is shown is the node's affair.

use crate::Distribution;

/// One figure at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// `kafka.log` and the like; `milena` for what Kafka has not.
    pub domain: &'static str,
    /// `type` of Kafka's name.
    pub kind: &'static str,
    /// `name` of Kafka's name.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// The further tags.
    pub tags: Vec<(&'static str, String)>,
    /// In the unit that the name says.
    pub value: Value,
}

/// What a figure shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A gauge, or a counter when the name ends with `_total`.
    Number(f64),
    /// A histogram.
    Distribution(Distribution),
}

impl Metric {
    /// A figure without tags.
    #[must_use]
    pub fn new(
        (domain, kind): (&'static str, &'static str),
        name: &'static str,
        help: &'static str,
        value: f64,
    ) -> Self {
        Self {
            domain,
            kind,
            name,
            help,
            tags: Vec::new(),
            value: Value::Number(value),
        }
    }

    /// A count without tags, which people read: beyond 2^53 it is not exact.
    #[must_use]
    pub fn count(
        of: (&'static str, &'static str),
        name: &'static str,
        help: &'static str,
        count: u64,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a count for people")]
        Self::new(of, name, help, count as f64)
    }

    /// The same figure for one value of a further tag.
    #[must_use]
    pub fn with_tag(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.tags.push((key, value.into()));
        self
    }

    /// The number that it shows; `None` for a histogram.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Value::Number(number) => Some(number),
            Value::Distribution(_) => None,
        }
    }
}
