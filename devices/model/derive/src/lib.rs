//! The derives of the device model: [`State`](derive_state) and [`Ranges`](derive_ranges).
//!
//! `#[derive(State)]`: a type's saved state is every one of its fields, in order of declaration. It is said by a `Describe`, and
//! saved and loaded by a `Persist`, which together are a `State`.
//!
//! A field that is not state says so and why: `#[state(skip = "wiring")]`. A skipped field keeps
//! the value it has when a stream is loaded. A field whose type has no `State` does not compile.
//!
//! The fields of a field's structure can stand among those of this one: `#[state(flatten)]`.
//!
//! What changes after a release says so, with the state version that the change makes:
//!
//! - `#[state(since = 3, default = 0)]`: a field that is new, and what it is where an older stream is loaded;
//! - `#[state(since = 3, renamed = "old")]`: a field that had another name;
//! - `#[state(since = 3)]` at a variant of an enum: one that is new, behind those that were there.

#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result, parse_macro_input};

/// See the crate documentation.
#[proc_macro_derive(State, attributes(state))]
pub fn derive_state(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

/// Properties that know what `#[schemars(range(min = …, max = …))]` says of their numbers, and `length(…)` of their lists; and,
/// of those that came later, what they were before: `#[prop(since = 5, before = false)]`.
///
/// `since` is the state version of the program that brought the property, `before` what a device was like that did not have
/// it. A board that was released without the property has that value, whatever its default is.
#[proc_macro_derive(Ranges, attributes(schemars, prop, serde))]
pub fn derive_ranges(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    ranges(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

fn ranges(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(input, "properties are a struct"));
    };
    let mut tests = Vec::new();
    let mut histories = Vec::new();
    for (index, field) in data.fields.iter().enumerate() {
        let member = match &field.ident {
            Some(name) => syn::Member::from(name.clone()),
            None => syn::Member::from(index),
        };
        for attr in field.attrs.iter().filter(|a| a.path().is_ident("schemars")) {
            attr.parse_nested_meta(|meta| {
                let value = match meta.path.get_ident().map(ToString::to_string).as_deref() {
                    Some("range") => quote!(self.#member),
                    Some("length") => quote!((self.#member.len() as u64)),
                    _ => {
                        return Err(
                            meta.error("unknown to `Ranges`; there are `range` and `length`")
                        );
                    }
                };
                meta.parse_nested_meta(|bound| {
                    let limit: syn::Expr = bound.value()?.parse()?;
                    let range = match bound.path.is_ident("min") {
                        true => quote!(#limit..),
                        false => quote!(..=#limit),
                    };
                    tests.push(quote!(::solderless_model::Bounded::within(&#value, #range)));
                    Ok(())
                })
            })?;
        }
        if let Some((since, before)) = history(field)? {
            let property = property(field)?;
            histories.push(quote! {
                ::solderless_model::History {
                    property: #property,
                    since: #since,
                    put: |props: &mut Self| props.#member = #before,
                }
            });
        }
    }
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics ::solderless_model::Ranges for #name #type_generics #where_clause {
            fn in_range(&self) -> bool {
                true #(&& #tests)*
            }
            fn histories() -> Vec<::solderless_model::History<Self>> {
                vec![#(#histories),*]
            }
        }
    })
}

/// What a property was before it was there: `#[prop(since = …, before = …)]`.
fn history(field: &syn::Field) -> Result<Option<(syn::LitInt, syn::Expr)>> {
    let Some(attr) = field.attrs.iter().find(|a| a.path().is_ident("prop")) else {
        return Ok(None);
    };
    let (mut since, mut before) = (None::<syn::LitInt>, None);
    attr.parse_nested_meta(|meta| {
        if meta.path.is_ident("since") {
            since = Some(version(meta.value()?)?);
        } else if meta.path.is_ident("before") {
            before = Some(meta.value()?.parse()?);
        } else {
            return Err(meta.error("unknown key; there are `since` and `before`"));
        }
        Ok(())
    })?;
    match (since, before) {
        (Some(since), Some(before)) => Ok(Some((since, before))),
        _ => Err(Error::new_spanned(
            attr,
            "a property that came later says both: `since = N`, and `before = …`, what a device was like without it",
        )),
    }
}

/// The name of a property on a board, as serde has it: in kebab-case unless the field says another.
fn property(field: &syn::Field) -> Result<String> {
    let mut name = None;
    for attr in field.attrs.iter().filter(|a| a.path().is_ident("serde")) {
        attr.parse_nested_meta(|meta| {
            let renamed = meta.path.is_ident("rename");
            if let Ok(value) = meta.value() {
                let value: syn::Expr = value.parse()?;
                if let (
                    true,
                    syn::Expr::Lit(syn::ExprLit {
                        lit: syn::Lit::Str(text),
                        ..
                    }),
                ) = (renamed, value)
                {
                    name = Some(text.value());
                }
            }
            Ok(())
        })?;
    }
    let ident = field.ident.as_ref();
    let kebab = ident.map(|ident| ident.to_string().replace('_', "-"));
    name.or(kebab)
        .ok_or_else(|| Error::new_spanned(field, "a property has a name"))
}

/// A state version that brings something.
fn version(from: syn::parse::ParseStream<'_>) -> Result<syn::LitInt> {
    let since: syn::LitInt = from.parse()?;
    match since.base10_parse::<u32>()? {
        ..2 => Err(Error::new(since.span(), "the first change makes version 2")),
        _ => Ok(since),
    }
}

/// What an attribute says.
#[derive(Default)]
struct Said {
    skip: bool,
    flatten: bool,
    since: Option<syn::LitInt>,
    default: Option<syn::Expr>,
    renamed: Option<LitStr>,
}

fn said(attrs: &[syn::Attribute]) -> Result<Said> {
    let mut said = Said::default();
    for attr in attrs.iter().filter(|a| a.path().is_ident("state")) {
        attr.parse_nested_meta(|meta| {
            let key = meta.path.get_ident().map(ToString::to_string);
            match key.as_deref() {
                Some("skip") => {
                    let reason: LitStr = meta.value()?.parse()?;
                    if reason.value().trim().is_empty() {
                        return Err(Error::new(reason.span(), "say why this field is not state"));
                    }
                    said.skip = true;
                }
                Some("flatten") => said.flatten = true,
                Some("since") => said.since = Some(version(meta.value()?)?),
                Some("default") => said.default = Some(meta.value()?.parse()?),
                Some("renamed") => said.renamed = Some(meta.value()?.parse()?),
                _ => {
                    return Err(meta.error(
                        "unknown key; there are `skip = \"why this is not state\"`, `flatten`, `since`, `default` and `renamed`",
                    ));
                }
            }
            Ok(())
        })?;
    }
    Ok(said)
}

/// A field that is state.
struct Kept {
    member: syn::Member,
    /// Its name in the layout.
    name: String,
    ty: syn::Type,
    change: Change,
}

/// What makes it more than a field with a name: what a state version did to it, for one.
enum Change {
    None,
    /// The fields of its structure stand in its place.
    Flat,
    Added(syn::LitInt, Box<syn::Expr>),
    Renamed(syn::LitInt, LitStr),
}

/// The fields that are state.
fn kept(fields: &Fields) -> Result<Vec<Kept>> {
    let mut out = Vec::new();
    for (member, field) in fields.members().zip(fields) {
        let said = said(&field.attrs)?;
        if said.skip {
            continue;
        }
        let change = match (said.flatten, said.since, said.default, said.renamed) {
            (false, None, None, None) => Change::None,
            (true, None, None, None) => Change::Flat,
            (false, Some(since), Some(default), None) => Change::Added(since, Box::new(default)),
            (false, Some(since), None, Some(was)) => Change::Renamed(since, was),
            _ => {
                return Err(Error::new_spanned(
                    field,
                    "write `since` with either `default`, for a new field, or `renamed`, for one with a new name",
                ));
            }
        };
        let name = match &member {
            syn::Member::Named(ident) => ident.to_string(),
            syn::Member::Unnamed(index) => index.index.to_string(),
        };
        let ty = field.ty.clone();
        out.push(Kept {
            member,
            name,
            ty,
            change,
        });
    }
    Ok(out)
}

impl Kept {
    fn describe(&self) -> TokenStream {
        let Self { name, ty, .. } = self;
        match &self.change {
            Change::None => quote! { fields.field::<#ty>(#name); },
            Change::Flat => quote! { fields.flat::<#ty>(#name); },
            Change::Added(since, default) => quote! {
                fields.added::<#ty>(#name, #since, &{ let default: #ty = #default; default });
            },
            Change::Renamed(since, was) => quote! { fields.renamed::<#ty>(#name, #since, #was); },
        }
    }

    fn save(&self) -> TokenStream {
        let Self {
            member, name, ty, ..
        } = self;
        match &self.change {
            Change::Added(since, default) => quote! {
                out.added(#name, #since, &self.#member, &{ let default: #ty = #default; default });
            },
            _ => quote! { ::solderless_model::Persist::save(&self.#member, out); },
        }
    }

    fn load(&self) -> TokenStream {
        let Self { member, name, .. } = self;
        let load = quote! {
            ::solderless_model::Persist::load(&mut self.#member, from).map_err(|e| e.inside(#name))?;
        };
        match &self.change {
            Change::Flat => quote! { ::solderless_model::Persist::load(&mut self.#member, from)?; },
            Change::Added(since, default) => quote! {
                if from.version() >= #since { #load } else { self.#member = #default; }
            },
            _ => load,
        }
    }
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
    let (describe, save, load) = match &input.data {
        Data::Struct(data) => expand_struct(name, &data.fields)?,
        Data::Enum(data) => expand_enum(name, data)?,
        Data::Union(_) => return Err(Error::new_spanned(name, "a union has no state")),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::solderless_model::Describe for #name #type_generics #where_clause {
            fn describe(
                by: &mut ::solderless_model::Describer,
            ) -> ::core::option::Option<::solderless_model::Type> {
                ::core::option::Option::Some(#describe)
            }
        }

        #[automatically_derived]
        impl #impl_generics ::solderless_model::Persist for #name #type_generics #where_clause {
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
    let fields = kept.iter().map(Kept::describe);
    let saves = kept.iter().map(Kept::save);
    let loads = kept.iter().map(Kept::load);
    let label = name.to_string();
    let describe = quote! {
        by.structure(#label, |fields| {
            let _ = &fields;
            #(#fields)*
        })
    };
    let save = quote! {
        let _ = &out;
        #(#saves)*
    };
    let load = quote! {
        let _ = &from;
        #(#loads)*
    };
    Ok((describe, save, load))
}

fn expand_enum(name: &syn::Ident, data: &syn::DataEnum) -> Result<Bodies> {
    let label = name.to_string();
    let (mut variants, mut saves, mut loads) = (Vec::new(), Vec::new(), Vec::new());
    let mut newest = 1;
    for (index, variant) in data.variants.iter().enumerate() {
        let (ident, text) = (&variant.ident, variant.ident.to_string());
        let tag =
            u32::try_from(index).map_err(|_| Error::new_spanned(ident, "too many variants"))?;
        let Said {
            skip: false,
            flatten: false,
            since,
            default: None,
            renamed: None,
        } = said(&variant.attrs)?
        else {
            return Err(Error::new_spanned(
                variant,
                "a variant can only have `since`",
            ));
        };
        let since = since.map_or(Ok(1), |n| n.base10_parse::<u32>())?;
        if since < newest {
            return Err(Error::new_spanned(
                variant,
                "a variant that is new stands behind those that were there",
            ));
        }
        newest = since;
        let kept = kept(&variant.fields)?;
        let plain = |k: &Kept| matches!(k.change, Change::None);
        if kept.len() != variant.fields.len() || !kept.iter().all(plain) {
            return Err(Error::new_spanned(
                variant,
                "the fields of a variant cannot be skipped, added or renamed",
            ));
        }
        let fields = kept.iter().map(Kept::describe);
        let members: Vec<_> = kept.iter().map(|k| &k.member).collect();
        let names: Vec<_> = kept.iter().map(|k| &k.name).collect();
        let types: Vec<_> = kept.iter().map(|k| &k.ty).collect();
        let vars: Vec<_> = (0..kept.len()).map(|i| format_ident!("field{i}")).collect();
        variants.push(quote! {
            ::solderless_model::VariantDecl {
                name: #text,
                since: #since,
                fields: |fields| {
                    let _ = &fields;
                    #(#fields)*
                },
            }
        });
        saves.push(quote! {
            Self::#ident { #(#members: #vars),* } => {
                out.variant(#text, #since);
                ::solderless_model::Persist::save(&#tag, out);
                #(::solderless_model::Persist::save(#vars, out);)*
            }
        });
        loads.push(quote! {
            #tag => {
                #(let mut #vars = <#types as ::core::default::Default>::default();
                  ::solderless_model::Persist::load(&mut #vars, from).map_err(|e| e.inside(#names))?;)*
                Self::#ident { #(#members: #vars),* }
            }
        });
    }
    let describe = quote! { by.choice(#label, &[#(#variants),*]) };
    let save = quote! { match self { #(#saves)* } };
    let load = quote! {
        let mut tag = 0u32;
        ::solderless_model::Persist::load(&mut tag, from)?;
        *self = match tag {
            #(#loads)*
            _ => return ::core::result::Result::Err(::solderless_model::StateError::variant(#label, tag)),
        };
    };
    Ok((describe, save, load))
}
