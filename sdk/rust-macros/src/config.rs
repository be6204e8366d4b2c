//! `#[derive(Config)]`

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataEnum, DeriveInput, Error, Expr, ExprLit, Lit, LitStr, spanned::Spanned};

use crate::parts::{named_fields, refuse_twice};

mod documentation;

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "a configuration is owned and has no parameters"));
    }
    match &input.data {
        Data::Enum(data) => choice(input, data),
        _ => table(input),
    }
}

fn table(input: &DeriveInput) -> syn::Result<TokenStream> {
    let mut fields = named_fields(input, "a configuration")?;
    let mut defaults = Vec::new();
    let mut renames = Vec::new();
    let mut keys = Vec::new();
    for field in &mut fields {
        let mut default = quote!(::core::option::Option::None);
        let mut shown = None;
        let ident = field.ident;
        field.attributes("config", |meta| {
            if meta.path.is_ident("default") {
                default = match meta.value() {
                    Err(_) => {
                        shown = Some(String::new());
                        quote!(::core::option::Option::Some(::core::default::Default::default()))
                    }
                    Ok(value) => {
                        let value: Expr = value.parse()?;
                        shown = Some(documentation::type_name(&value));
                        default_value(&value)
                    }
                };
            } else if meta.path.is_ident("renames") {
                let column: LitStr = meta.value()?.parse()?;
                renames.push(quote!(#column => &self.#ident,));
            } else {
                return Ok(false);
            }
            Ok(true)
        })?;
        defaults.push(default);
        keys.push(documentation::Key {
            name: field.name.clone(),
            type_name: documentation::type_name(field.ty),
            default: shown,
            doc: documentation::doc(&field.field.attrs),
        });
    }
    refuse_twice(&fields)?;
    let config = &input.ident;
    let documentation = documentation::of_table(&config.to_string(), &keys);
    let idents = fields.iter().map(|field| field.ident);
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    Ok(quote! {
        #documentation

        #[automatically_derived]
        impl ::wasmill_sdk::config::Config for #config {
            fn from_json(
                value: &::wasmill_sdk::config::Json,
            ) -> ::core::result::Result<Self, ::wasmill_sdk::__alloc::string::String> {
                let entries = ::wasmill_sdk::config::fields(value, &[#(#names),*])?;
                ::core::result::Result::Ok(Self {
                    #(#idents: ::wasmill_sdk::config::field(entries, #names, #defaults)?,)*
                })
            }

            fn rename<'n>(&'n self, column: &'n str) -> &'n str {
                match column {
                    #(#renames)*
                    _ => column,
                }
            }
        }
    })
}

/// A default as the field wants it: a string literal becomes a `String`.
fn default_value(value: &Expr) -> TokenStream {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            quote!(::core::option::Option::Some(::core::convert::Into::into(#text)))
        }
        value => quote!(::core::option::Option::Some(#value)),
    }
}

fn choice(input: &DeriveInput, data: &DataEnum) -> syn::Result<TokenStream> {
    if let Some(variant) = data.variants.iter().find(|variant| !variant.fields.is_empty()) {
        return Err(Error::new(variant.span(), "a choice in a configuration is a name: its variants have no fields"));
    }
    let config = &input.ident;
    let idents = data.variants.iter().map(|variant| &variant.ident);
    let names: Vec<String> = data.variants.iter().map(|variant| snake_case(&variant.ident.to_string())).collect();
    let documentation = documentation::of_choice(&config.to_string(), &names);
    let places = 0..data.variants.len();
    Ok(quote! {
        #documentation

        #[automatically_derived]
        impl ::wasmill_sdk::config::Config for #config {
            fn from_json(
                value: &::wasmill_sdk::config::Json,
            ) -> ::core::result::Result<Self, ::wasmill_sdk::__alloc::string::String> {
                ::core::result::Result::Ok(match ::wasmill_sdk::config::choice(value, &[#(#names),*])? {
                    #(#places => Self::#idents,)*
                    _ => ::core::unreachable!(),
                })
            }
        }
    })
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
