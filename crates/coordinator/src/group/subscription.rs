//! The topics in a consumer's subscription: the only thing the broker reads of member metadata.

use bytes::{Buf, Bytes};

/// The topics that `metadata` subscribes to, or `None` when it is not a consumer subscription.
///
/// Version 0 is a prefix of every version: version i16, topics array of strings, user data.
/// Source: `ConsumerProtocolSubscription.json`, `ClassicGroup.computeSubscribedTopics`.
pub(super) fn topics(metadata: &Bytes) -> Option<Vec<String>> {
    let mut input = metadata.clone();
    input.try_get_i16().ok().filter(|version| *version >= 0)?;
    let count = usize::try_from(input.try_get_i32().ok()?).ok()?;
    // Each name takes at least its length.
    if count.checked_mul(2)? > input.len() {
        return None;
    }
    (0..count)
        .map(|_| {
            let length = usize::try_from(input.try_get_i16().ok()?).ok()?;
            (length <= input.len()).then(|| input.split_to(length))
        })
        .map(|name| String::from_utf8(name?.to_vec()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_from_any_version_and_nothing_from_other_bytes() {
        let ok = |bytes: &'static [u8]| topics(&Bytes::from_static(bytes));
        assert_eq!(
            ok(b"\0\x03\0\0\0\x02\0\x01a\0\x02bcrest"),
            Some(vec!["a".to_owned(), "bc".to_owned()])
        );
        assert_eq!(ok(b"\0\0\0\0\0\0"), Some(Vec::new()));
        for bad in [
            &b""[..],
            b"\0",
            b"\0\0\0\0\0\x01",
            b"\0\0\0\0\0\x01\0\x05a",
            b"\0\0\x7f\xff\xff\xff",
            b"\xff\xff\0\0\0\0",
        ] {
            assert_eq!(topics(&Bytes::copy_from_slice(bad)), None, "{bad:?}");
        }
    }
}
