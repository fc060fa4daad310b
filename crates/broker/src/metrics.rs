//! A broker's figures under the names that Kafka gives them; how they are shown is the node's affair.

/// One figure at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// `kafka.log` and the like.
    pub domain: &'static str,
    /// `type` of Kafka's name.
    pub kind: &'static str,
    /// `name` of Kafka's name.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// The further tag, if there is one.
    pub tag: Option<(&'static str, String)>,
    /// In the unit that the name says.
    pub value: f64,
}

impl Metric {
    pub(crate) fn new(kind: &'static str, name: &'static str, help: &'static str, value: f64) -> Self {
        Self {
            domain: "kafka.log",
            kind,
            name,
            help,
            tag: None,
            value,
        }
    }

    pub(crate) fn with_tag(self, key: &'static str, value: &str) -> Self {
        Self {
            tag: Some((key, value.to_owned())),
            ..self
        }
    }
}
