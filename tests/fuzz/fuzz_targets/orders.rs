//! See the module of the same name.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| meridian_fuzz::orders::run(octets));
