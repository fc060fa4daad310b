//! `.kafka_cleanshutdown`: present only while the directory is as an orderly shutdown left it.
//!
//! JSON `{"version":0,"brokerEpoch":<epoch>}`, and Milena adds `"idleLogs":"<id>"`: the file of idle logs that was written
//! with it. Kafka ignores that key and never writes it, so that the file of idle logs counts only after Milena's own
//! shutdown. Source: `CleanShutdownFileHandler.java`, KIP-966.

use milena_types::{BrokerEpoch, Uuid};

pub(super) const FILE: &str = ".kafka_cleanshutdown";

pub(super) fn encode(epoch: BrokerEpoch, idle_logs: Option<Uuid>) -> String {
    let idle_logs = idle_logs.map_or(String::new(), |id| format!(",\"idleLogs\":\"{id}\""));
    format!("{{\"version\":0,\"brokerEpoch\":{epoch}{idle_logs}}}")
}

/// Which file of idle logs belongs to the shutdown.
pub(super) fn parse_idle_logs(bytes: &[u8]) -> Option<Uuid> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, after) = text.split_once("\"idleLogs\":\"")?;
    after.split_once('"')?.0.parse().ok()
}

/// The broker epoch of the run that ended cleanly; -1 for a file that does not say, as in Kafka.
pub(super) fn parse(bytes: &[u8]) -> BrokerEpoch {
    let text = String::from_utf8_lossy(bytes);
    let after = text.split_once("\"brokerEpoch\"").map_or("", |(_, after)| after);
    let digits: String = after
        .trim_start()
        .trim_start_matches(':')
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '-')
        .collect();
    BrokerEpoch(digits.parse().unwrap_or(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_reads_back_and_damage_is_minus_one() {
        assert_eq!(
            encode(BrokerEpoch(12), None),
            "{\"version\":0,\"brokerEpoch\":12}"
        );
        let id = Uuid([3; 16]);
        let both = encode(BrokerEpoch(12), Some(id));
        assert_eq!(parse(both.as_bytes()), BrokerEpoch(12));
        assert_eq!(parse_idle_logs(both.as_bytes()), Some(id));
        assert_eq!(parse_idle_logs(encode(BrokerEpoch(12), None).as_bytes()), None);
        assert_eq!(parse_idle_logs(b"{\"idleLogs\":\"x\"}"), None);
        assert_eq!(parse(b"{ \"brokerEpoch\" : 7, \"version\" : 0 }"), BrokerEpoch(7));
        for bad in [&b""[..], b"{}", b"\xff", b"{\"brokerEpoch\":\"x\"}"] {
            assert_eq!(parse(bad), BrokerEpoch(-1), "{bad:?}");
        }
    }
}
