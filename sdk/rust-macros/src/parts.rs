//! Reading what the derives are put on.

use syn::{Data, DeriveInput, Error, Field, Ident, LitStr, Type, ext::IdentExt, spanned::Spanned};

/// A field and the name it stands for.
pub(crate) struct Named<'i> {
    pub(crate) ident: &'i Ident,
    pub(crate) ty: &'i Type,
    pub(crate) name: String,
    pub(crate) field: &'i Field,
}

/// The fields of a struct with named fields, and without type parameters.
pub(crate) fn named_fields<'i>(input: &'i DeriveInput, what: &str) -> syn::Result<Vec<Named<'i>>> {
    if let Some(parameter) = input.generics.type_params().next() {
        return Err(Error::new(parameter.span(), format!("{what} has no type parameters: its columns must be known")));
    }
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.ident.span(), format!("{what} is a struct")));
    };
    let syn::Fields::Named(fields) = &data.fields else {
        return Err(Error::new(input.ident.span(), format!("{what} is a struct with named fields: their names count")));
    };
    let named = |field: &'i Field| {
        let ident = field.ident.as_ref().expect("the fields are named");
        Named { ident, ty: &field.ty, name: ident.unraw().to_string(), field }
    };
    Ok(fields.named.iter().map(named).collect())
}

impl Named<'_> {
    /// Reads the attributes of this name: `name = "..."` here, everything else by `other`.
    pub(crate) fn attributes(
        &mut self,
        attribute: &str,
        mut other: impl FnMut(&syn::meta::ParseNestedMeta<'_>) -> syn::Result<bool>,
    ) -> syn::Result<()> {
        let mut name = None;
        for attribute in self.field.attrs.iter().filter(|found| found.path().is_ident(attribute)) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    name = Some(meta.value()?.parse::<LitStr>()?.value());
                    Ok(())
                } else if other(&meta)? {
                    Ok(())
                } else {
                    Err(meta.error("unknown attribute"))
                }
            })?;
        }
        self.name = name.unwrap_or_else(|| std::mem::take(&mut self.name));
        Ok(())
    }
}

/// Refuses two fields that stand for the same name.
pub(crate) fn refuse_twice(fields: &[Named<'_>]) -> syn::Result<()> {
    for (i, field) in fields.iter().enumerate() {
        if fields[..i].iter().any(|earlier| earlier.name == field.name) {
            return Err(Error::new(field.ident.span(), format!("the name `{}` is there twice", field.name)));
        }
    }
    Ok(())
}
