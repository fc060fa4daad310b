//! Under which producer id and epoch each record lies in a log; a consumer is not told.

use crate::Outcome;
use bytes::Bytes;
use std::collections::HashMap;
use std::path::Path;

/// By offset: (producer id, producer epoch) of every batch that has one.
///
/// # Errors
/// When a segment cannot be read, or is not whole batches.
pub fn written_under(partition: &Path) -> Outcome<HashMap<i64, (i64, i16)>> {
    let told = |error: std::io::Error| format!("{}: {error}", partition.display());
    let mut found = HashMap::new();
    for entry in std::fs::read_dir(partition).map_err(told)?.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let bytes = Bytes::from(std::fs::read(&path).map_err(told)?);
        for batch in milena_record::batches(&bytes) {
            let (header, _) = batch.map_err(|error| format!("{}: {error}", path.display()))?;
            let Some(producer) = header.producer_id else {
                continue;
            };
            let under = (producer.0, header.producer_epoch.0);
            found.extend((header.base_offset.0..=header.last_offset().0).map(|offset| (offset, under)));
        }
    }
    Ok(found)
}
