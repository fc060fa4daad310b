//! Record batches as clients and leaders send them.
#![no_main]

#[path = "../../crates/log/tests/targets/mod.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    targets::batch(data);
});
