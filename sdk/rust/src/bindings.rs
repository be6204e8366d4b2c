//! What `wit-bindgen` makes of the contract. Not part of the SDK's interface; the types that are, are named elsewhere.

#![allow(unsafe_code, missing_docs, unreachable_pub, missing_debug_implementations)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "operator",
    pub_export_macro: true,
    default_bindings_module: "::wasmill_sdk::bindings",
    export_macro_name: "export_component",
    additional_derives: [PartialEq],
});
