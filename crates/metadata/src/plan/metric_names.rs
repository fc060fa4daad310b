//! Topic names as parts of metric names, in which `.` and `_` are one: of topics that are the same there only one may exist.

use crate::image::MetadataImage;
use milena_types::TopicName;
use std::collections::HashMap;

/// The topics that there are by their metric names. Looked up once a request, and only when a new name needs it.
#[derive(Default)]
pub(super) struct MetricNames(Option<HashMap<String, TopicName>>);

impl MetricNames {
    /// The topic that `name` collides with. `image` is the one that the request began with, or a later one.
    pub(super) fn collision(&mut self, image: &MetadataImage, name: &TopicName) -> Option<&TopicName> {
        if !may_collide(name) {
            return None;
        }
        let all = || {
            let mut taken = HashMap::new();
            for other in image.topic_ids.keys().filter(|other| may_collide(other)) {
                taken.entry(metric_name(other)).or_insert_with(|| other.clone());
            }
            taken
        };
        self.0.get_or_insert_with(all).get(&metric_name(name))
    }

    /// A topic is about to exist.
    pub(super) fn add(&mut self, name: &TopicName) {
        if let Some(taken) = self.0.as_mut().filter(|_| may_collide(name)) {
            taken.insert(metric_name(name), name.clone());
        }
    }
}

fn may_collide(name: &TopicName) -> bool {
    name.as_str().contains(['.', '_'])
}

fn metric_name(name: &TopicName) -> String {
    name.as_str().replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::Cluster;

    #[test]
    fn dots_and_underscores_are_one() {
        let mut cluster = Cluster::with_brokers(1);
        cluster.create("a.b", 1, 1);
        let name = |n: &str| TopicName::new(n).unwrap();
        let mut names = MetricNames::default();
        let mut found = |n: &str| {
            let other = names.collision(&cluster.image, &name(n)).cloned();
            names.add(&name(n));
            other.map(|other| other.as_str().to_owned())
        };
        let asked = ["a_b", "ab", "a-b", "c_d.e", "c.d.e", "c-d.e"];
        let others = asked.map(&mut found);
        let expected = [Some("a.b"), None, None, None, Some("c_d.e"), None];
        assert_eq!(others.each_ref().map(Option::as_deref), expected);
    }
}
