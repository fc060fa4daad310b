//! `.kafka_cleanshutdown`: present only while the directory is as an orderly shutdown left it.
//!
//! JSON `{"version":0,"brokerEpoch":<epoch>}`. Source: `CleanShutdownFileHandler.java`, KIP-966.

use milena_types::BrokerEpoch;

pub(super) const FILE: &str = ".kafka_cleanshutdown";

pub(super) fn encode(epoch: BrokerEpoch) -> String {
    format!("{{\"version\":0,\"brokerEpoch\":{epoch}}}")
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
        assert_eq!(encode(BrokerEpoch(12)), "{\"version\":0,\"brokerEpoch\":12}");
        assert_eq!(parse(encode(BrokerEpoch(12)).as_bytes()), BrokerEpoch(12));
        assert_eq!(parse(b"{ \"brokerEpoch\" : 7, \"version\" : 0 }"), BrokerEpoch(7));
        for bad in [&b""[..], b"{}", b"\xff", b"{\"brokerEpoch\":\"x\"}"] {
            assert_eq!(parse(bad), BrokerEpoch(-1), "{bad:?}");
        }
    }
}
