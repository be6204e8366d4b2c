//! `#[filter]`, `#[map]`, `#[flat_map]`

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Error, FnArg, GenericArgument, Ident, ItemFn, Lifetime, PathArguments, ReturnType, Type,
    spanned::Spanned,
    visit_mut::{self, VisitMut},
};

/// A row function, taken apart.
struct Parts<'f> {
    name: &'f Ident,
    row: &'f Type,
    /// What `&mut` points to.
    out: Option<&'f Type>,
    /// What `&` points to.
    config: Option<&'f Type>,
    /// What is returned, without the `Result`.
    returns: Option<&'f Type>,
    fallible: bool,
    /// The arguments behind the row, in the order they are written.
    arguments: Vec<Ident>,
}

impl<'f> Parts<'f> {
    fn of(attributes: &TokenStream, function: &'f ItemFn, form: &str) -> syn::Result<Self> {
        if !attributes.is_empty() {
            return Err(Error::new(attributes.span(), "the attribute takes no arguments"));
        }
        let signature = &function.sig;
        let refused = [
            signature.asyncness.map(|token| token.span()),
            signature.unsafety.map(|token| token.span()),
            signature.generics.params.first().map(Spanned::span),
        ];
        if let Some(span) = refused.into_iter().flatten().next() {
            return Err(Error::new(span, format!("expected a plain function, {form}")));
        }
        let mut types = signature.inputs.iter().map(|argument| match argument {
            FnArg::Typed(argument) => Ok(&*argument.ty),
            FnArg::Receiver(receiver) => Err(Error::new(receiver.span(), format!("expected a function, {form}"))),
        });
        let row = types.next().ok_or_else(|| Error::new(signature.ident.span(), format!("expected {form}")))??;
        let (returns, fallible) = returned(&signature.output);
        let mut parts =
            Self { name: &signature.ident, row, out: None, config: None, returns, fallible, arguments: Vec::new() };
        for ty in types {
            let ty = ty?;
            let wrong = Error::new(ty.span(), format!("expected {form}"));
            let Type::Reference(reference) = ty else { return Err(wrong) };
            let (slot, name) =
                if reference.mutability.is_some() { (&mut parts.out, "out") } else { (&mut parts.config, "config") };
            if slot.replace(&reference.elem).is_some() {
                return Err(wrong);
            }
            parts.arguments.push(Ident::new(name, ty.span()));
        }
        Ok(parts)
    }

    /// The call, as a `Result`.
    fn call(&self) -> TokenStream {
        let (name, arguments) = (self.name, &self.arguments);
        let call = quote!(#name(row #(, #arguments)*));
        if self.fallible {
            quote!(#call.map_err(::wasmill_sdk::Error::from_returned))
        } else {
            quote!(::core::result::Result::<_, ::wasmill_sdk::Error>::Ok(#call))
        }
    }

    /// The function as it was, the marker type that describes it, and the operator under the function's name.
    fn operator(&self, function: &ItemFn, runner: &str, described: &TokenStream) -> TokenStream {
        let vis = &function.vis;
        let (name, marker, runner) = (self.name, format_ident!("__wasmill_{}", self.name), format_ident!("{runner}"));
        let row = with_lifetime(self.row, "'row", false);
        let config = self.config.map_or_else(|| quote!(()), |config| quote!(#config));
        let doc = format!("The operator that runs the function `{name}`.");
        quote! {
            #function

            #[doc = #doc]
            #[allow(non_camel_case_types)]
            #vis type #name = ::wasmill_sdk::functions::#runner<#marker>;

            #[doc(hidden)]
            #[allow(non_camel_case_types)]
            #[derive(Debug)]
            #vis struct #marker;

            impl ::wasmill_sdk::functions::RowFunction for #marker {
                type Input<'row> = #row;
                type Config = #config;
            }

            #described
        }
    }
}

pub(crate) fn filter(attributes: TokenStream, function: &ItemFn) -> syn::Result<TokenStream> {
    const FORM: &str = "`fn(row: Row) -> bool`, with or without `config: &Config`";
    let parts = Parts::of(&attributes, function, FORM)?;
    refuse_out(&parts, FORM)?;
    if parts.returns.is_none() {
        return Err(Error::new(function.sig.span(), format!("expected {FORM}")));
    }
    let (marker, call) = (format_ident!("__wasmill_{}", parts.name), parts.call());
    let described = quote! {
        impl ::wasmill_sdk::functions::FilterFunction for #marker {
            #[inline]
            fn call(
                row: <Self as ::wasmill_sdk::functions::RowFunction>::Input<'_>,
                config: &<Self as ::wasmill_sdk::functions::RowFunction>::Config,
            ) -> ::core::result::Result<bool, ::wasmill_sdk::Error> {
                let _ = config;
                #call
            }
        }
    };
    Ok(parts.operator(function, "Filter", &described))
}

pub(crate) fn map(attributes: TokenStream, function: &ItemFn) -> syn::Result<TokenStream> {
    const FORM: &str = "`fn(row: Row) -> Columns`, with or without `config: &Config`";
    let parts = Parts::of(&attributes, function, FORM)?;
    refuse_out(&parts, FORM)?;
    let Some(returns) = parts.returns else {
        return Err(Error::new(function.sig.span(), format!("expected {FORM}")));
    };
    let optional = argument_of(returns, "Option");
    let fixed = with_lifetime(optional.unwrap_or(returns), "'static", false);
    let (marker, call) = (format_ident!("__wasmill_{}", parts.name), parts.call());
    let append = if optional.is_some() {
        quote!(::core::result::Result::Ok(#call?.map(|columns| ::wasmill_sdk::Row::write(columns, builder)).is_some()))
    } else {
        quote!(#call.map(|columns| { ::wasmill_sdk::Row::write(columns, builder); true }))
    };
    let described = quote! {
        impl ::wasmill_sdk::functions::MapFunction for #marker {
            type Output = #fixed;

            #[inline]
            fn call(
                row: <Self as ::wasmill_sdk::functions::RowFunction>::Input<'_>,
                config: &<Self as ::wasmill_sdk::functions::RowFunction>::Config,
                builder: &mut <#fixed as ::wasmill_sdk::Row>::Builder,
            ) -> ::core::result::Result<bool, ::wasmill_sdk::Error> {
                let _ = config;
                #append
            }
        }
    };
    Ok(parts.operator(function, "Map", &described))
}

pub(crate) fn flat_map(attributes: TokenStream, function: &ItemFn) -> syn::Result<TokenStream> {
    const FORM: &str = "`fn(row: Row, out: &mut Output)`, with or without `config: &Config`";
    let parts = Parts::of(&attributes, function, FORM)?;
    let Some(output) = parts.out else {
        return Err(Error::new(function.sig.span(), format!("expected {FORM}")));
    };
    let is_unit = parts.returns.is_none_or(|ty| matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty()));
    if !is_unit {
        return Err(Error::new(
            function.sig.output.span(),
            "rows leave by `out`: nothing is returned, or a Result<(), _>",
        ));
    }
    let fixed = with_lifetime(output, "'static", false);
    let (marker, call) = (format_ident!("__wasmill_{}", parts.name), parts.call());
    let described = quote! {
        impl ::wasmill_sdk::functions::FlatMapFunction for #marker {
            type Output = #fixed;

            #[inline]
            fn call(
                row: <Self as ::wasmill_sdk::functions::RowFunction>::Input<'_>,
                config: &<Self as ::wasmill_sdk::functions::RowFunction>::Config,
                out: &mut #fixed,
            ) -> ::core::result::Result<(), ::wasmill_sdk::Error> {
                let _ = config;
                #call
            }
        }
    };
    Ok(parts.operator(function, "FlatMap", &described))
}

fn refuse_out(parts: &Parts<'_>, form: &str) -> syn::Result<()> {
    match parts.out {
        Some(out) => Err(Error::new(out.span(), format!("expected {form}"))),
        None => Ok(()),
    }
}

/// What a function returns, and whether that was inside a `Result`.
fn returned(output: &ReturnType) -> (Option<&Type>, bool) {
    let ReturnType::Type(_, ty) = output else { return (None, false) };
    match argument_of(ty, "Result") {
        Some(inner) => (Some(inner), true),
        None => (Some(ty), false),
    }
}

/// The first type argument of a type of this name.
fn argument_of<'t>(ty: &'t Type, name: &str) -> Option<&'t Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// A type with this lifetime in place of the elided ones, or of all.
pub(crate) fn with_lifetime(ty: &Type, lifetime: &str, all: bool) -> Type {
    struct Replace<'l> {
        lifetime: &'l str,
        all: bool,
    }

    impl VisitMut for Replace<'_> {
        fn visit_lifetime_mut(&mut self, found: &mut Lifetime) {
            if self.all || found.ident == "_" {
                *found = Lifetime::new(self.lifetime, found.span());
            }
        }

        fn visit_type_reference_mut(&mut self, reference: &mut syn::TypeReference) {
            let span = reference.span();
            reference.lifetime.get_or_insert_with(|| Lifetime::new(self.lifetime, span));
            visit_mut::visit_type_reference_mut(self, reference);
        }
    }

    let mut ty = ty.clone();
    Replace { lifetime, all }.visit_type_mut(&mut ty);
    ty
}
