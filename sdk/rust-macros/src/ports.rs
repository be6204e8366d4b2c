//! `#[derive(Ports)]`

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error};

use crate::parts::{named_fields, refuse_twice};

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let mut fields = named_fields(input, "a set of ports")?;
    if fields.is_empty() {
        return Err(Error::new(input.ident.span(), "an operator has at least one port"));
    }
    for field in &mut fields {
        field.attributes("port", |_| Ok(false))?;
    }
    refuse_twice(&fields)?;
    let ports = &input.ident;
    let idents: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let types: Vec<_> = fields.iter().map(|field| field.ty).collect();
    let names = fields.iter().map(|field| &field.name);
    let numbers = 0..fields.len() as u32;
    Ok(quote! {
        #[automatically_derived]
        impl ::core::default::Default for #ports {
            fn default() -> Self {
                Self { #(#idents: ::core::default::Default::default(),)* }
            }
        }

        #[automatically_derived]
        impl ::wasmill_sdk::ports::Ports for #ports {
            fn describe<C: ::wasmill_sdk::Config>(
                config: &C,
                event_times: bool,
            ) -> ::wasmill_sdk::__alloc::vec::Vec<::wasmill_sdk::data::Port> {
                ::wasmill_sdk::__alloc::vec![
                    #(<#types as ::wasmill_sdk::ports::PortKind>::describe(#names, config, event_times)),*
                ]
            }

            #[inline]
            fn begin(&mut self, row: u32, event_time: ::wasmill_sdk::Timestamp) {
                #(::wasmill_sdk::ports::PortKind::begin(&mut self.#idents, row, event_time);)*
            }

            fn finish(
                self,
                rows: usize,
                event_times: bool,
            ) -> ::wasmill_sdk::__alloc::vec::Vec<::wasmill_sdk::data::Emission> {
                let mut emissions = ::wasmill_sdk::__alloc::vec::Vec::new();
                #(
                    let outcome = ::wasmill_sdk::ports::PortKind::finish(self.#idents, rows, event_times);
                    emissions.extend(outcome.map(|rows| ::wasmill_sdk::data::Emission { port: #numbers, rows }));
                )*
                emissions
            }
        }
    })
}
