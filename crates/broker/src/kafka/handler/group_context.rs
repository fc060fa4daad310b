//! Who asks the group coordinator, and the address of a coordinator for the client.

use crate::coordinator::RequestContext;
use crate::kafka::dispatch::Call;

/// The caller as the coordinator wants to know it.
pub(super) fn context(call: &Call) -> RequestContext {
    RequestContext {
        api_version: call.version,
        client_id: call.client_id().to_owned(),
        client_host: call.peer.host(),
    }
}
