//! `#[derive(State)]`

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{DeriveInput, Error, GenericArgument, LitInt, PathArguments, Type, spanned::Spanned};

use crate::parts::{named_fields, refuse_twice};

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let mut fields = named_fields(input, "state")?;
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "state is owned: it has no lifetime"));
    }
    let mut definitions = Vec::new();
    for field in &mut fields {
        let (mut ttl, mut version) = (quote!(::core::option::Option::None), 1_u32);
        field.attributes("state", |meta| {
            if meta.path.is_ident("ttl_ms") {
                let ms: LitInt = meta.value()?.parse()?;
                ttl = quote!(::core::option::Option::Some(#ms));
            } else if meta.path.is_ident("version") {
                version = meta.value()?.parse::<LitInt>()?.base10_parse()?;
            } else {
                return Ok(false);
            }
            Ok(true)
        })?;
        let (name, value) = (&field.name, value_type(field.ty)?);
        definitions.push(quote! {
            ::wasmill_sdk::state::CellDef {
                name: #name,
                data_type: <#value as ::wasmill_sdk::field::FieldType>::DATA_TYPE,
                ttl_ms: #ttl,
                version: #version,
            }
        });
    }
    refuse_twice(&fields)?;

    let state = &input.ident;
    let idents: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let cells: Vec<_> = idents.iter().map(|ident| format_ident!("cell_{ident}")).collect();
    let places = 0..fields.len();
    let values = fields.iter().map(|field| value_type(field.ty)).collect::<syn::Result<Vec<_>>>()?;
    let load: Vec<_> =
        values.iter().map(|value| quote_spanned!(value.span()=> ::wasmill_sdk::state::load_cell::<#value>)).collect();
    Ok(quote! {
        #[automatically_derived]
        impl ::wasmill_sdk::state::State for #state {
            const CELLS: &'static [::wasmill_sdk::state::CellDef] = &[#(#definitions),*];

            fn load(state: &::wasmill_sdk::Columns) -> ::wasmill_sdk::__alloc::vec::Vec<Self> {
                #(let mut #cells = #load(state, #places);)*
                let next = |_| Self { #(#idents: ::wasmill_sdk::state::next_cell(&mut #cells),)* };
                (0..state.count()).map(next).collect()
            }

            fn changes(groups: &[Self]) -> ::wasmill_sdk::__alloc::vec::Vec<::wasmill_sdk::data::CellUpdate> {
                ::wasmill_sdk::__alloc::vec![
                    #(::wasmill_sdk::state::cell_changes(groups.iter().map(|group| &group.#idents))),*
                ]
            }
        }
    })
}

/// The `T` of a `Value<T>`.
fn value_type(ty: &Type) -> syn::Result<&Type> {
    let wrong =
        || Error::new(ty.span(), "a cell is a `Value<T>`, with T an i64, f64, bool, Timestamp, String or Vec<u8>");
    let Type::Path(path) = ty else { return Err(wrong()) };
    let last = path.path.segments.last().filter(|last| last.ident == "Value").ok_or_else(wrong)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Err(wrong()) };
    match arguments.args.first() {
        Some(GenericArgument::Type(value)) if arguments.args.len() == 1 => Ok(value),
        _ => Err(wrong()),
    }
}
