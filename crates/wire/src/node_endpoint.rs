//! Where a leader named in a Produce or Fetch answer can be reached (KIP-951).

use crate::writer::{put_count, put_nullable_text, put_tag, put_text, put_varint};
use bytes::{BufMut, BytesMut};

/// A broker's address on the listener that the client uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEndpoint {
    /// `node.id`.
    pub node_id: i32,
    /// The advertised host.
    pub host: String,
    /// The advertised port.
    pub port: i32,
    /// `broker.rack`.
    pub rack: Option<String>,
}

/// Writes the tag section at the end of a response: the endpoints under `tag`, or nothing when there are none.
pub(crate) fn put_node_endpoints(out: &mut BytesMut, tag: u32, endpoints: &[NodeEndpoint]) {
    if endpoints.is_empty() {
        out.put_u8(0);
        return;
    }
    let mut content = BytesMut::new();
    put_count(&mut content, true, endpoints.len());
    for endpoint in endpoints {
        content.put_i32(endpoint.node_id);
        put_text(&mut content, true, &endpoint.host);
        content.put_i32(endpoint.port);
        put_nullable_text(&mut content, true, endpoint.rack.as_deref());
        content.put_u8(0);
    }
    put_varint(out, 1);
    put_tag(out, tag, &content);
}
