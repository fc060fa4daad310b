//! The DescribeLogDirs response up to version 5, which the library does not know: each directory also says whether it is
//! cordoned (KIP-1066). None is: Milena places no replicas by directory yet.

use crate::error::EncodeError;
use crate::frame::{LENGTH_BYTES, ResponseFrame};
use crate::header::put_response_header;
use crate::messages::DescribeLogDirsResponse;
use crate::request;
use crate::versions::ApiKey;
use crate::writer::put_count;
use bytes::{BufMut, BytesMut};
use kafka_protocol::protocol::Encodable;

/// The last version that the library writes.
const LIBRARY_VERSION: i16 = 4;

/// Writes the whole response frame.
pub(crate) fn encode(
    version: i16,
    correlation_id: i32,
    response: &DescribeLogDirsResponse,
) -> Result<ResponseFrame, EncodeError> {
    if version <= LIBRARY_VERSION {
        return request::encode(
            ApiKey::DescribeLogDirs,
            version,
            version,
            correlation_id,
            response,
        );
    }
    let mut out = BytesMut::new();
    out.put_bytes(0, LENGTH_BYTES);
    put_response_header(&mut out, ApiKey::DescribeLogDirs, version, correlation_id);
    out.put_i32(response.throttle_time_ms);
    out.put_i16(response.error_code);
    put_count(&mut out, true, response.results.len());
    for result in &response.results {
        result
            .encode(&mut out, LIBRARY_VERSION)
            .map_err(|error| EncodeError {
                api: ApiKey::DescribeLogDirs.name(),
                version,
                reason: error.to_string(),
            })?;
        // The new field goes before the struct's tags, of which there are none.
        out.truncate(out.len() - 1);
        out.put_u8(0);
        out.put_u8(0);
    }
    out.put_u8(0);
    Ok(ResponseFrame::from_buffer(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::describe_log_dirs_response::DescribeLogDirsResult;
    use kafka_protocol::protocol::StrBytes;

    #[test]
    fn version_5_is_version_4_with_one_more_byte_a_directory() {
        let dir = DescribeLogDirsResult::default()
            .with_log_dir(StrBytes::from_static_str("/d"))
            .with_total_bytes(9);
        let response = DescribeLogDirsResponse::default().with_results(vec![dir.clone(), dir]);
        let four = encode(4, 1, &response).unwrap();
        let five = encode(5, 1, &response).unwrap();
        assert_eq!(five.size_bytes(), four.size_bytes() + 2);
        let tail = b"\0\0\0\0\0\0\0\x09\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0";
        assert!(
            five.to_bytes().ends_with(tail),
            "total, usable, cordoned, tags, tags"
        );
    }
}
