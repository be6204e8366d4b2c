//! `#[derive(State)]` and `#[derive(Shared)]`

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{DeriveInput, Error, Ident, LitInt, LitStr, spanned::Spanned};

use crate::parts::{Named, named_fields, refuse_twice};

/// The fields, and their cells.
struct Cells<'i> {
    state: &'i Ident,
    idents: Vec<&'i Ident>,
    /// `<T as CellField>` of each field.
    fields: Vec<TokenStream>,
    definitions: Vec<TokenStream>,
}

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Cells { state, idents, fields, definitions } = cells(input, quote!())?;
    let cells: Vec<_> = idents.iter().map(|ident| format_ident!("cell_{ident}")).collect();
    let places = 0..fields.len();
    Ok(quote! {
        #[automatically_derived]
        impl ::wasmill_sdk::state::State for #state {
            const CELLS: &'static [::wasmill_sdk::state::CellDef] = &[#(#definitions),*];

            fn load(state: &::wasmill_sdk::Columns) -> ::wasmill_sdk::__alloc::vec::Vec<Self> {
                #(let mut #cells = #fields::load(state, ::wasmill_sdk::state::Place::of(Self::CELLS, #places));)*
                let next = |_| Self { #(#idents: ::wasmill_sdk::state::next_cell(&mut #cells),)* };
                (0..state.count()).map(next).collect()
            }

            fn fetch(groups: &[Self]) {
                #(#fields::fetch(groups.iter().map(|group| &group.#idents));)*
            }

            fn fetch_all(&self) {
                #(#fields::fetch_all(&self.#idents);)*
            }

            fn changes(groups: &[Self]) -> ::wasmill_sdk::state::Changes {
                let mut changes = ::core::default::Default::default();
                #(#fields::changes(groups.iter().map(|group| &group.#idents), &mut changes);)*
                changes
            }
        }
    })
}

pub(crate) fn derive_shared(input: &DeriveInput) -> syn::Result<TokenStream> {
    let kind = quote!(kind: ::wasmill_sdk::state::CellKind::Broadcast,);
    let Cells { state, idents, fields, definitions } = cells(input, kind)?;
    let types: Vec<_> = named_fields(input, "what all keys share")?.iter().map(|field| field.ty).collect();
    let shared: Vec<_> =
        types.iter().map(|ty| quote_spanned!(ty.span()=> <#ty as ::wasmill_sdk::state::SharedField>)).collect();
    let places = 0..fields.len() as u32;
    Ok(quote! {
        #[automatically_derived]
        impl ::wasmill_sdk::state::Shared for #state {
            const CELLS: &'static [::wasmill_sdk::state::CellDef] = &[#(#definitions),*];

            fn load(first: u32) -> Self {
                Self { #(#idents: #shared::load_shared(first + #places),)* }
            }

            fn fetch(&self) {
                #(#fields::fetch(::core::iter::once(&self.#idents));)*
            }

            fn fetch_all(&self) {
                #(#fields::fetch_all(&self.#idents);)*
            }

            fn changes(&self) -> ::wasmill_sdk::state::Changes {
                let mut changes = ::core::default::Default::default();
                #(#fields::changes(::core::iter::once(&self.#idents), &mut changes);)*
                changes
            }
        }
    })
}

/// `kind`: what is said of it beside what the field's type does.
fn cells(input: &DeriveInput, kind: TokenStream) -> syn::Result<Cells<'_>> {
    let mut named = named_fields(input, "state")?;
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "state is owned: it has no lifetime"));
    }
    let said = named.iter_mut().map(attributes).collect::<syn::Result<Vec<_>>>()?;
    refuse_twice(&named)?;
    let fields: Vec<_> = named
        .iter()
        .map(|field| {
            let ty = field.ty;
            quote_spanned!(ty.span()=> <#ty as ::wasmill_sdk::state::CellField>)
        })
        .collect();
    let definition = |((field, said), cell): ((&Named<'_>, TokenStream), &TokenStream)| {
        let name = &field.name;
        quote!(::wasmill_sdk::state::CellDef { name: #name, #kind #said ..#cell::CELL })
    };
    let definitions = named.iter().zip(said).zip(&fields).map(definition).collect();
    Ok(Cells { state: &input.ident, idents: named.iter().map(|field| field.ident).collect(), fields, definitions })
}

/// What the attributes of a field say of its cell.
fn attributes(field: &mut Named<'_>) -> syn::Result<TokenStream> {
    let mut said = TokenStream::new();
    let (mut ttl, mut event_time) = (false, None);
    field.attributes("state", |meta| {
        let path = &meta.path;
        said.extend(if path.is_ident("ttl_ms") {
            ttl = true;
            let ms: LitInt = meta.value()?.parse()?;
            quote!(ttl_ms: ::core::option::Option::Some(#ms),)
        } else if path.is_ident("event_time") {
            event_time = Some(path.span());
            quote!(event_time: true,)
        } else if path.is_ident("version") {
            let version: LitInt = meta.value()?.parse()?;
            quote!(version: #version,)
        } else if path.is_ident("renamed_from") {
            let from: LitStr = meta.value()?.parse()?;
            quote!(renamed_from: ::core::option::Option::Some(#from),)
        } else {
            return Ok(false);
        });
        Ok(true)
    })?;
    match event_time {
        Some(span) if !ttl => Err(Error::new(span, "`event_time` is the clock of `ttl_ms`, which is not given")),
        _ => Ok(said),
    }
}
