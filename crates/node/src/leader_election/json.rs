//! The file of `--path-to-json-file`: `{"partitions": [{"topic": "a", "partition": 0}]}`.

use serde::Deserialize;

#[derive(Deserialize)]
struct Election {
    partitions: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    topic: String,
    partition: i32,
}

/// The partitions that such a text names.
///
/// # Errors
/// In words, when it is none, or names one twice.
pub fn partitions_of_json(text: &str) -> Result<Vec<(String, i32)>, String> {
    let election: Election = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut named = Vec::new();
    for Named { topic, partition } in election.partitions {
        if named.contains(&(topic.clone(), partition)) {
            return Err(format!("the partition {topic}-{partition} is named twice"));
        }
        named.push((topic, partition));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_format_is_read() {
        let text =
            r#"{"partitions": [{"topic": "foo", "partition": 1}, {"topic": "foobar", "partition": 2}]}"#;
        let expected = vec![("foo".to_owned(), 1), ("foobar".to_owned(), 2)];
        assert_eq!(partitions_of_json(text), Ok(expected));
        for wrong in [
            "",
            "{}",
            r#"{"partitions": [{"topic": "a"}]}"#,
            r#"{"partitions": [{"topic": "a", "partition": 1}, {"topic": "a", "partition": 1}]}"#,
        ] {
            assert!(partitions_of_json(wrong).is_err(), "{wrong}");
        }
    }
}
