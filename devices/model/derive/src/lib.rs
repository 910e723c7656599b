//! `#[derive(State)]`: a type's saved state is every one of its fields, in order of declaration.
//!
//! A field that is not state says so and why: `#[state(skip = "wiring")]`. A skipped field keeps
//! the value it has when a stream is loaded. A field whose type has no `State` does not compile.

#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, Result, parse_macro_input};

/// See the crate documentation.
#[proc_macro_derive(State, attributes(state))]
pub fn derive_state(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

/// Whether the field is left out; the reason has to be written and must not be empty.
fn skipped(field: &Field) -> Result<bool> {
    let mut skip = false;
    for attr in field.attrs.iter().filter(|a| a.path().is_ident("state")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("skip") {
                return Err(meta.error("unknown key; write `skip = \"why this is not state\"`"));
            }
            let reason: LitStr = meta.value()?.parse()?;
            if reason.value().trim().is_empty() {
                return Err(Error::new(reason.span(), "say why this field is not state"));
            }
            skip = true;
            Ok(())
        })?;
    }
    Ok(skip)
}

/// The fields that are state: their members (`self.member`), names in the layout, and types.
fn kept(fields: &Fields) -> Result<Vec<(syn::Member, String, syn::Type)>> {
    let mut out = Vec::new();
    for (member, field) in fields.members().zip(fields) {
        if !skipped(field)? {
            let name = match &member {
                syn::Member::Named(ident) => ident.to_string(),
                syn::Member::Unnamed(index) => index.index.to_string(),
            };
            out.push((member, name, field.ty.clone()));
        }
    }
    Ok(out)
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let mut generics = input.generics.clone();
    for param in input.generics.type_params() {
        let ident = &param.ident;
        generics
            .make_where_clause()
            .predicates
            .push(syn::parse_quote!(#ident: ::solderless_model::State));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let (shape, save, load) = match &input.data {
        Data::Struct(data) => expand_struct(name, &data.fields)?,
        Data::Enum(data) => expand_enum(name, data)?,
        Data::Union(_) => return Err(Error::new_spanned(name, "a union has no state")),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::solderless_model::State for #name #type_generics #where_clause {
            fn shape(parts: &::solderless_model::Parts) -> ::solderless_model::Shape { #shape }
            fn save(&self, out: &mut ::solderless_model::Writer) { #save }
            fn load(
                &mut self,
                from: &mut ::solderless_model::Reader<'_>,
            ) -> ::core::result::Result<(), ::solderless_model::StateError> {
                #load
                ::core::result::Result::Ok(())
            }
        }
    })
}

type Bodies = (TokenStream, TokenStream, TokenStream);

fn expand_struct(name: &syn::Ident, fields: &Fields) -> Result<Bodies> {
    let kept = kept(fields)?;
    let (members, names, types): (Vec<_>, Vec<_>, Vec<_>) = unzip(kept);
    let label = name.to_string();
    let shape = quote! {
        let _ = parts;
        ::solderless_model::Shape::structure(#label, [
            #((#names, <#types as ::solderless_model::State>::shape(parts))),*
        ])
    };
    let save = quote! {
        let _ = &out;
        #(::solderless_model::State::save(&self.#members, out);)*
    };
    let load = quote! {
        let _ = &from;
        #(::solderless_model::State::load(&mut self.#members, from)
            .map_err(|e| e.inside(#names))?;)*
    };
    Ok((shape, save, load))
}

fn expand_enum(name: &syn::Ident, data: &syn::DataEnum) -> Result<Bodies> {
    let label = name.to_string();
    let (mut shapes, mut saves, mut loads) = (Vec::new(), Vec::new(), Vec::new());
    for (index, variant) in data.variants.iter().enumerate() {
        let (ident, text) = (&variant.ident, variant.ident.to_string());
        let tag =
            u32::try_from(index).map_err(|_| Error::new_spanned(ident, "too many variants"))?;
        let members: Vec<_> = variant.fields.members().collect();
        for field in &variant.fields {
            if skipped(field)? {
                return Err(Error::new_spanned(
                    field,
                    "a field of a variant cannot be skipped",
                ));
            }
        }
        let (_, names, types): (Vec<_>, Vec<_>, Vec<_>) = unzip(kept(&variant.fields)?);
        let vars: Vec<_> = (0..members.len())
            .map(|i| format_ident!("field{i}"))
            .collect();
        shapes.push(quote! {
            (#text, ::solderless_model::Shape::structure(#text, [
                #((#names, <#types as ::solderless_model::State>::shape(parts))),*
            ]))
        });
        saves.push(quote! {
            Self::#ident { #(#members: #vars),* } => {
                ::solderless_model::State::save(&#tag, out);
                #(::solderless_model::State::save(#vars, out);)*
            }
        });
        loads.push(quote! {
            #tag => {
                #(let mut #vars = <#types as ::core::default::Default>::default();
                  ::solderless_model::State::load(&mut #vars, from).map_err(|e| e.inside(#names))?;)*
                Self::#ident { #(#members: #vars),* }
            }
        });
    }
    let shape = quote! {
        let _ = parts;
        ::solderless_model::Shape::choice(#label, [#(#shapes),*])
    };
    let save = quote! { match self { #(#saves)* } };
    let load = quote! {
        let mut tag = 0u32;
        ::solderless_model::State::load(&mut tag, from)?;
        *self = match tag {
            #(#loads)*
            _ => return ::core::result::Result::Err(::solderless_model::StateError::variant(#label, tag)),
        };
    };
    Ok((shape, save, load))
}

fn unzip<A, B, C>(items: Vec<(A, B, C)>) -> (Vec<A>, Vec<B>, Vec<C>) {
    let mut out = (Vec::new(), Vec::new(), Vec::new());
    for (a, b, c) in items {
        out.0.push(a);
        out.1.push(b);
        out.2.push(c);
    }
    out
}
