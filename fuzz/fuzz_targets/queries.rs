#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_fuzz::queries(bytes));
