//! Numbers for the operator's dashboard. A name is lower case letters, digits and `_`; the host bounds how many there are.

/// Adds to a counter.
pub fn add(name: &str, delta: u64) {
    #[cfg(target_family = "wasm")]
    crate::bindings::wasmill::operator::metrics::add(name, delta);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::host::add_metric(name, delta);
}

/// Sets a gauge.
pub fn set(name: &str, value: f64) {
    #[cfg(target_family = "wasm")]
    crate::bindings::wasmill::operator::metrics::set(name, value);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::host::set_metric(name, value);
}
