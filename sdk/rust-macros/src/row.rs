//! `#[derive(Row)]`

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{DeriveInput, Error, GenericParam, Lifetime, spanned::Spanned, visit::Visit};

use crate::parts::{Named, named_fields, refuse_twice};

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let mut fields = named_fields(input, "a row")?;
    for field in &mut fields {
        field.attributes("row", |_| Ok(false))?;
    }
    refuse_twice(&fields)?;
    refuse_static(&fields)?;
    let lifetimes: Vec<&Lifetime> = input
        .generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Lifetime(lifetime) => Some(&lifetime.lifetime),
            _ => None,
        })
        .collect();
    if let [_, second, ..] = lifetimes.as_slice() {
        return Err(Error::new(second.span(), "a row has at most one lifetime: all its fields are of the same call"));
    }
    let write = write(input, &fields);
    let read = read(input, &fields, lifetimes.first().copied());
    Ok(quote! {
        const _: () = {
            #write
            #read
        };
    })
}

/// Refuses `&'static str`: what is read lives no longer than its call.
fn refuse_static(fields: &[Named<'_>]) -> syn::Result<()> {
    struct Find(Option<Span>);

    impl Visit<'_> for Find {
        fn visit_lifetime(&mut self, lifetime: &Lifetime) {
            if lifetime.ident == "static" {
                self.0 = Some(lifetime.span());
            }
        }
    }

    let mut find = Find(None);
    fields.iter().for_each(|field| find.visit_type(field.ty));
    match find.0 {
        Some(span) => {
            Err(Error::new(span, "a row borrows from its call: give the struct a lifetime parameter and use that"))
        }
        None => Ok(()),
    }
}

/// `impl Row`: names and types, and the builder.
fn write(input: &DeriveInput, fields: &[Named<'_>]) -> TokenStream {
    let row = &input.ident;
    let builder = format_ident!("{row}Builder");
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let idents: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let names = fields.iter().map(|field| &field.name);
    let vis = &input.vis;
    let field_type: Vec<_> =
        fields.iter().map(|field| quote_spanned!(field.ty.span()=> ::wasmill_sdk::field::FieldType)).collect();
    let types: Vec<_> = fields.iter().map(|field| field.ty).collect();
    // Builders are the same for every lifetime, and must outlive all of them.
    let fixed_types: Vec<_> =
        fields.iter().map(|field| crate::function::with_lifetime(field.ty, "'static", true)).collect();
    let field_builder = fixed_types.iter().zip(&field_type).map(|(ty, trait_)| quote!(<#ty as #trait_>::Builder));
    quote! {
        #[derive(::core::default::Default)]
        #vis struct #builder {
            #(#idents: #field_builder,)*
        }

        #[automatically_derived]
        impl ::wasmill_sdk::row::RowBuilder for #builder {
            fn reserve(&mut self, rows: usize) {
                #(::wasmill_sdk::build::ColumnBuilder::reserve(&mut self.#idents, rows);)*
            }

            fn finish(self) -> ::wasmill_sdk::__alloc::vec::Vec<::wasmill_sdk::data::Column> {
                ::wasmill_sdk::__alloc::vec![#(::wasmill_sdk::build::ColumnBuilder::finish(self.#idents)),*]
            }
        }

        #[automatically_derived]
        impl #generics ::wasmill_sdk::row::Row for #row #arguments #bounds {
            const FIELDS: &'static [::wasmill_sdk::row::FieldDef] = &[#(
                ::wasmill_sdk::row::FieldDef {
                    name: #names,
                    data_type: <#types as #field_type>::DATA_TYPE,
                    also: <#types as #field_type>::ALSO,
                    nullable: <#types as #field_type>::NULLABLE,
                },
            )*];

            type Builder = #builder;

            #[inline]
            fn write(self, builder: &mut #builder) {
                #(<#types as #field_type>::write(self.#idents, &mut builder.#idents);)*
            }
        }
    }
}

/// `impl ReadRow`: the open columns.
fn read(input: &DeriveInput, fields: &[Named<'_>], lifetime: Option<&Lifetime>) -> TokenStream {
    let row = &input.ident;
    let reader = format_ident!("{row}Reader");
    let vis = &input.vis;
    let (_, arguments, _) = input.generics.split_for_impl();
    let lifetime = lifetime.cloned().unwrap_or_else(|| Lifetime::new("'columns", row.span()));
    let idents: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let readers: Vec<_> = fields
        .iter()
        .map(|field| {
            let ty = field.ty;
            quote_spanned!(ty.span()=> <#ty as ::wasmill_sdk::field::ReadField<#lifetime>>)
        })
        .collect();
    let places = 0..fields.len();
    quote! {
        #vis struct #reader<#lifetime> {
            #(#idents: #readers::Reader,)*
            columns: ::core::marker::PhantomData<&#lifetime ()>,
        }

        #[automatically_derived]
        impl<#lifetime> ::wasmill_sdk::row::ReadRow<#lifetime> for #row #arguments {
            type Reader = #reader<#lifetime>;

            fn open(
                columns: &#lifetime ::wasmill_sdk::Columns,
                types: &[::wasmill_sdk::data::DataType],
            ) -> #reader<#lifetime> {
                #reader {
                    #(#idents: #readers::open(columns.column(#places), ::wasmill_sdk::row::type_at(types, #places)),)*
                    columns: ::core::marker::PhantomData,
                }
            }

            #[inline]
            fn read(reader: &#reader<#lifetime>, row: usize) -> Self {
                Self { #(#idents: #readers::read(&reader.#idents, row),)* }
            }
        }
    }
}
