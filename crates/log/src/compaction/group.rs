//! Segments that are compacted into one, so that segments do not shrink for ever. Source: `Cleaner.groupSegmentsBySize`.

use crate::format::OFFSET_SPAN_MAX;
use milena_types::Offset;

/// A segment that is to be compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) base: Offset,
    /// Bytes of its log.
    pub(crate) size: u64,
    /// Base of the next segment.
    pub(crate) end: Offset,
    /// It need not reach the next segment.
    pub(crate) may_part: bool,
}

/// Cuts the segments into runs of at most `bytes_max` together, and of offsets that fit an index.
pub(super) fn groups(segments: &[Source], bytes_max: u64) -> Vec<Vec<Source>> {
    let mut groups: Vec<Vec<Source>> = Vec::new();
    let mut bytes = 0_u64;
    for segment in segments {
        let fits = groups
            .last()
            .and_then(|group| group.first())
            .is_some_and(|first| {
                bytes.saturating_add(segment.size) <= bytes_max
                    && segment.end.since(first.base) <= OFFSET_SPAN_MAX
            });
        match groups.last_mut() {
            Some(group) if fits => {
                bytes += segment.size;
                group.push(*segment);
            }
            _ => {
                bytes = segment.size;
                groups.push(vec![*segment]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_bounded_by_bytes_and_by_offsets() {
        let segment = |base: i64, size, end: i64| Source {
            base: Offset(base),
            size,
            end: Offset(end),
            may_part: false,
        };
        let bases = |segments: &[Source]| -> Vec<Vec<i64>> {
            groups(segments, 100)
                .iter()
                .map(|group| group.iter().map(|s| s.base.0).collect())
                .collect()
        };
        let of_sizes = [
            segment(0, 60, 10),
            segment(10, 40, 20),
            segment(20, 1, 30),
            segment(30, 500, 40),
            segment(40, 0, 50),
        ];
        assert_eq!(bases(&of_sizes), [vec![0, 10], vec![20], vec![30], vec![40]]);
        let far = i64::from(i32::MAX);
        let of_offsets = [segment(0, 1, 10), segment(10, 1, far), segment(far, 1, far + 1)];
        assert_eq!(bases(&of_offsets), [vec![0, 10], vec![far]]);
        assert!(groups(&[], 100).is_empty());
    }
}
