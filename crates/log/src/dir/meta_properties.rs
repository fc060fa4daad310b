//! `meta.properties`: binds a directory to a cluster and a node. Source: `MetaProperties.java`, KIP-631, KIP-858.

use milena_types::{BrokerId, ClusterId, DirectoryId};

/// Content of `meta.properties`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`.
    pub cluster_id: ClusterId,
    /// `node.id`.
    pub node_id: BrokerId,
    /// `directory.id`; directories formatted before KIP-858 have none.
    pub directory_id: Option<DirectoryId>,
}

/// What is wrong with a `meta.properties`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaPropertiesError {
    /// A key that must be there is not.
    #[error("meta.properties has no {0}")]
    Missing(&'static str),
    /// A value does not parse.
    #[error("meta.properties has {key}={value}, which is not valid")]
    Invalid {
        /// The key.
        key: &'static str,
        /// The value, cut to 100 characters.
        value: String,
    },
}

impl MetaProperties {
    /// The file's text: Kafka's, in Java's order of keys, without the line that tells the date.
    #[must_use]
    pub fn encode(&self) -> String {
        let directory = self
            .directory_id
            .map_or(String::new(), |id| format!("directory.id={id}\n"));
        format!(
            "#\nnode.id={}\n{directory}version=1\ncluster.id={}\n",
            self.node_id, self.cluster_id
        )
    }

    /// Reads the text of a Java properties file, as far as such files use the format; unknown keys are ignored.
    ///
    /// # Errors
    /// [`MetaPropertiesError`].
    pub fn parse(text: &str) -> Result<Self, MetaPropertiesError> {
        let find = |wanted: &str| {
            let lines = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.starts_with(['#', '!']));
            let pairs = lines.filter_map(|line| line.split_once(['=', ':']));
            pairs
                .filter(|(key, _)| key.trim() == wanted)
                .map(|(_, value)| value.trim().replace('\\', ""))
                .next_back()
        };
        let need = |key| find(key).ok_or(MetaPropertiesError::Missing(key));
        let invalid = |key, value: &str| MetaPropertiesError::Invalid {
            key,
            value: value.chars().take(100).collect(),
        };
        let version = need("version")?;
        if version != "1" {
            return Err(invalid("version", &version));
        }
        let node = need("node.id")?;
        let node_id = node
            .parse()
            .ok()
            .filter(|id| *id >= 0)
            .ok_or_else(|| invalid("node.id", &node))?;
        let cluster = need("cluster.id")?;
        if cluster.is_empty() {
            return Err(invalid("cluster.id", &cluster));
        }
        let directory = find("directory.id");
        let directory_id = match &directory {
            Some(id) => Some(DirectoryId(id.parse().map_err(|_| invalid("directory.id", id))?)),
            None => None,
        };
        Ok(Self {
            cluster_id: ClusterId(cluster),
            node_id: BrokerId(node_id),
            directory_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_file_is_read_and_ours_reads_back() {
        let kafka = "#\n#Sat Nov 21 10:00:00 UTC 2026\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=3\nversion=1\n";
        let parsed = MetaProperties::parse(kafka).unwrap();
        assert_eq!(
            (parsed.node_id, parsed.cluster_id.0.as_str()),
            (BrokerId(3), "MkU3OEVBNTcwNTJENDM2Qg")
        );
        assert!(parsed.directory_id.is_some());
        assert_eq!(MetaProperties::parse(&parsed.encode()), Ok(parsed));
    }

    #[test]
    fn damage_is_named() {
        for (text, part) in [
            ("", "version"),
            ("version=0\ncluster.id=x\nbroker.id=1", "version=0"),
            ("version=1\ncluster.id=x", "node.id"),
            ("version=1\nnode.id=-1\ncluster.id=x", "node.id=-1"),
            ("version=1\nnode.id=1", "cluster.id"),
            (
                "version=1\nnode.id=1\ncluster.id=x\ndirectory.id=short",
                "directory.id=short",
            ),
        ] {
            assert!(
                MetaProperties::parse(text)
                    .unwrap_err()
                    .to_string()
                    .contains(part),
                "{text}"
            );
        }
    }
}
