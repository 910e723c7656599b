//! Makes each constant in the code of a model one that can be another while the program runs.
//!
//! A literal `7` becomes `m(12, 7)`, which is 8 while mutant 12 is looked at. A `const` has no say while the program runs: it gets a
//! function beside it that makes the same value, and what uses it outside of patterns and types calls that.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Lit, Signature, UseTree};

/// Behind the name of a constant, that of the function which makes it.
const MADE: &str = "__made";

/// The constants of all files that others can use, by the name of their module.
pub type Known = BTreeMap<String, BTreeSet<String>>;

/// What is done to a text.
#[derive(Default)]
struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    fn insert(&mut self, at: usize, text: impl Into<String>) {
        self.0.push((at..at, text.into()));
    }

    /// Does it to a part of the text.
    fn apply(&self, text: &str, part: Range<usize>) -> String {
        let mut edits: Vec<_> = self.0.iter().enumerate().collect();
        edits.retain(|(_, (at, _))| at.start >= part.start && at.end <= part.end);
        // Of two in one place the later is outside, if it ends something.
        edits.sort_by_key(|(n, (at, _))| (at.start, *n));
        let (mut out, mut from) = (String::new(), part.start);
        for (_, (at, new)) in edits {
            out += &text[from..at.start];
            out += new;
            from = at.end;
        }
        out + &text[from..part.end]
    }
}

/// Names that are defined in a file.
#[derive(Default)]
pub struct Names {
    /// Constants of the module or of a function, and of an `impl`.
    free: BTreeSet<String>,
    own: BTreeSet<String>,
    /// Functions that constants are made with.
    functions: BTreeSet<String>,
    /// All names in what is worked out by the compiler.
    compiled: BTreeSet<String>,
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = match &attribute.meta {
            syn::Meta::List(list) => list.tokens.to_string(),
            _ => String::new(),
        };
        attribute.path().is_ident("test") || attribute.path().is_ident("cfg") && text == "test"
    })
}

/// Whether a constant can be made while the program runs: it borrows nothing.
fn can_be_made(ty: &syn::Type, value: &Expr) -> bool {
    struct Borrows(bool);
    impl<'a> Visit<'a> for Borrows {
        fn visit_type_reference(&mut self, _: &'a syn::TypeReference) {
            self.0 = true;
        }
        fn visit_type_bare_fn(&mut self, _: &'a syn::TypeBareFn) {
            self.0 = true;
        }
        fn visit_expr_reference(&mut self, _: &'a syn::ExprReference) {
            self.0 = true;
        }
    }
    let mut borrows = Borrows(false);
    borrows.visit_type(ty);
    borrows.visit_expr(value);
    !borrows.0
}

impl<'a> Visit<'a> for Names {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }
    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        if can_be_made(&item.ty, &item.expr) {
            self.free.insert(item.ident.to_string());
        } else {
            self.compiled(&item.expr);
        }
    }
    fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
        self.compiled(&item.expr);
    }
    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        for inner in &item.items {
            match inner {
                syn::ImplItem::Const(c) if item.trait_.is_none() && can_be_made(&c.ty, &c.expr) => {
                    self.own.insert(c.ident.to_string());
                }
                syn::ImplItem::Const(c) => self.compiled(&c.expr),
                _ => {}
            }
        }
        visit::visit_item_impl(self, item);
    }
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if item.sig.constness.is_some() {
            self.functions.insert(item.sig.ident.to_string());
        }
        visit::visit_item_fn(self, item);
    }
    fn visit_expr_repeat(&mut self, expr: &'a syn::ExprRepeat) {
        self.compiled(&expr.len);
        self.visit_expr(&expr.expr);
    }
    fn visit_type_array(&mut self, ty: &'a syn::TypeArray) {
        self.compiled(&ty.len);
    }
    fn visit_generic_argument(&mut self, argument: &'a syn::GenericArgument) {
        if let syn::GenericArgument::Const(expr) = argument {
            self.compiled(expr);
        }
    }
}

impl Names {
    fn compiled(&mut self, expr: &Expr) {
        struct All<'n>(&'n mut BTreeSet<String>);
        impl<'a> Visit<'a> for All<'_> {
            fn visit_ident(&mut self, ident: &'a syn::Ident) {
                self.0.insert(ident.to_string());
            }
        }
        All(&mut self.compiled).visit_expr(expr);
    }

    pub fn of(file: &syn::File) -> Self {
        let mut names = Self::default();
        names.visit_file(file);
        names
    }

    /// The constants that other files can use.
    pub fn constants(&self) -> &BTreeSet<String> {
        &self.free
    }
}

/// Rewrites a file.
pub struct Rewriter<'a> {
    text: &'a str,
    /// The path of the function, in the crate of the file.
    m: &'a str,
    names: &'a Names,
    known: &'a Known,
    /// The number of the first mutant of the file.
    first: usize,
    /// Mutants that the compiler did not take, by their places in the file.
    refused: &'a BTreeSet<usize>,
    /// Where the constants with a mutant start.
    found: Vec<usize>,
    edits: Edits,
    /// What is used of constants of other modules.
    imported: BTreeSet<String>,
}

impl<'a> Rewriter<'a> {
    pub fn new(
        text: &'a str,
        m: &'a str,
        names: &'a Names,
        known: &'a Known,
        first: usize,
        refused: &'a BTreeSet<usize>,
    ) -> Self {
        Self {
            text,
            m,
            names,
            known,
            first,
            refused,
            found: Vec::new(),
            edits: Edits::default(),
            imported: BTreeSet::new(),
        }
    }

    /// The text with mutants, and where each of them starts.
    pub fn rewrite(mut self, file: &'a syn::File) -> (String, Vec<usize>) {
        for item in &file.items {
            if let syn::Item::Use(item) = item {
                self.import(item);
            }
        }
        self.visit_file(file);
        (self.edits.apply(self.text, 0..self.text.len()), self.found)
    }

    /// Has a file import what makes the constants that it imports.
    fn import(&mut self, item: &syn::ItemUse) {
        let mut leaves = Vec::new();
        paths(&item.tree, &mut Vec::new(), &mut leaves);
        let vis = source(self.text, item.vis.span());
        for path in leaves {
            let Some([module, name]) = path.last_chunk::<2>() else {
                continue;
            };
            if self.known.get(module).is_some_and(|all| all.contains(name)) {
                self.imported.insert(name.clone());
                let end = item.span().byte_range().end;
                self.edits.insert(
                    end,
                    format!(
                        " #[allow(unused_imports)] {vis} use {}{MADE};",
                        path.join("::")
                    ),
                );
            }
        }
    }

    /// Makes a literal one that can be another; `around` is what is put into the call.
    fn mutant(&mut self, literal: Range<usize>, around: Range<usize>) {
        let place = self.found.len();
        self.found.push(literal.start);
        if !self.refused.contains(&place) {
            let call = format!("{}({}, ", self.m, self.first + place);
            self.edits.insert(around.start, call);
            self.edits.insert(around.end, ")");
        }
    }

    /// The same with the tokens of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut before = ' ';
        for token in tokens {
            let at = token.span().byte_range();
            match &token {
                TokenTree::Literal(literal)
                    if literal
                        .to_string()
                        .starts_with(|c: char| c.is_ascii_digit()) =>
                {
                    self.mutant(at.clone(), at);
                }
                TokenTree::Ident(name)
                    if before != '.' && before != ':' && self.is_constant(&name.to_string()) =>
                {
                    self.edits.insert(at.start, "(*");
                    self.edits.insert(at.end, format!("{MADE}())"));
                }
                TokenTree::Group(group) if group.delimiter() != Delimiter::Bracket => {
                    self.tokens(group.stream());
                }
                _ => {}
            }
            before = match token {
                TokenTree::Punct(punct) => punct.as_char(),
                _ => ' ',
            };
        }
    }

    fn is_constant(&self, name: &str) -> bool {
        self.names.free.contains(name) || self.imported.contains(name)
    }

    /// Puts what makes a constant behind it.
    fn made(
        &mut self,
        vis: &syn::Visibility,
        name: &str,
        ty: &syn::Type,
        value: &'a Expr,
        end: usize,
    ) {
        self.visit_expr(value);
        let at = value.span().byte_range();
        let body = self.edits.apply(self.text, at.clone());
        self.edits
            .0
            .retain(|(edit, _)| edit.start < at.start || edit.end > at.end);
        let (vis, ty) = (source(self.text, vis.span()), source(self.text, ty.span()));
        let text = format!(
            " #[allow(non_snake_case, dead_code)] {vis} fn {name}{MADE}() -> &'static {ty} {{ Box::leak(Box::new({body})) }}"
        );
        self.edits.insert(end, text);
    }

    fn function(&mut self, sig: &'a Signature, body: &'a syn::Block, end: usize, free: bool) {
        let Some(constness) = &sig.constness else {
            self.visit_block(body);
            return;
        };
        let name = sig.ident.to_string();
        match (self.names.compiled.contains(&name), free) {
            (false, false) => {
                let at = constness.span.byte_range();
                self.edits.0.push((at, String::new()));
                self.visit_block(body);
            }
            (true, false) => {}
            // It is there twice.
            (_, true) => {
                self.visit_block(body);
                let at = body.span().byte_range();
                let made = self.edits.apply(self.text, at.clone());
                self.edits
                    .0
                    .retain(|(edit, _)| edit.start < at.start || edit.end > at.end);
                let head = source(self.text, sig.span()).replacen("const ", "", 1);
                let head = head.replacen(&name, &format!("{name}{MADE}"), 1);
                self.edits
                    .insert(end, format!(" #[allow(dead_code)] {head} {made}"));
            }
        }
    }
}

fn source(text: &str, span: Span) -> &str {
    &text[span.byte_range()]
}

fn paths(tree: &UseTree, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    match tree {
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            paths(&inner.tree, path, out);
            path.pop();
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            out.push(path.iter().cloned().chain([name]).collect());
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| paths(tree, path, out)),
        UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}

impl<'a> Visit<'a> for Rewriter<'a> {
    fn visit_attribute(&mut self, _: &'a Attribute) {}
    fn visit_type(&mut self, _: &'a syn::Type) {}
    fn visit_pat(&mut self, _: &'a syn::Pat) {}
    fn visit_generic_argument(&mut self, _: &'a syn::GenericArgument) {}
    fn visit_item_static(&mut self, _: &'a syn::ItemStatic) {}
    fn visit_item_enum(&mut self, _: &'a syn::ItemEnum) {}
    fn visit_item_macro(&mut self, item: &'a syn::ItemMacro) {
        if !item.mac.path.is_ident("connections")
            && item
                .mac
                .path
                .segments
                .last()
                .is_none_or(|s| s.ident != "connections")
        {
            return;
        }
        // What stands behind `=`, to the `;`.
        let mut value: Option<Vec<TokenTree>> = None;
        for token in item.mac.tokens.clone() {
            match &token {
                TokenTree::Punct(punct) if punct.as_char() == '=' && value.is_none() => {
                    value = Some(Vec::new())
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => {
                    if let Some(tokens) = value.take() {
                        self.tokens(tokens.into_iter().collect());
                    }
                }
                _ => {
                    if let Some(tokens) = &mut value {
                        tokens.push(token);
                    }
                }
            }
        }
    }
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }
    fn visit_item_trait(&mut self, item: &'a syn::ItemTrait) {
        for inner in &item.items {
            if let syn::TraitItem::Fn(f) = inner
                && let (Some(body), None) = (&f.default, &f.sig.constness)
            {
                self.visit_block(body);
            }
        }
    }
    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if is_test(&item.attrs) {
            return;
        }
        for inner in &item.items {
            let end = inner.span().byte_range().end;
            match inner {
                syn::ImplItem::Fn(f) if !is_test(&f.attrs) => {
                    self.function(&f.sig, &f.block, end, false)
                }
                syn::ImplItem::Const(c) if item.trait_.is_none() && can_be_made(&c.ty, &c.expr) => {
                    self.made(&c.vis, &c.ident.to_string(), &c.ty, &c.expr, end);
                }
                _ => {}
            }
        }
    }
    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        let name = item.ident.to_string();
        if name != "_" && self.names.free.contains(&name) && can_be_made(&item.ty, &item.expr) {
            self.made(
                &item.vis,
                &name,
                &item.ty,
                &item.expr,
                item.span().byte_range().end,
            );
        }
    }
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig, &item.block, item.span().byte_range().end, true);
        }
    }
    fn visit_expr_const(&mut self, _: &'a syn::ExprConst) {}
    fn visit_expr_repeat(&mut self, expr: &'a syn::ExprRepeat) {
        self.visit_expr(&expr.expr);
    }
    fn visit_expr_cast(&mut self, expr: &'a syn::ExprCast) {
        match &*expr.expr {
            // The type is that which it is made.
            Expr::Lit(ExprLit {
                lit: Lit::Int(lit), ..
            }) => {
                self.mutant(lit.span().byte_range(), expr.span().byte_range());
            }
            inner => self.visit_expr(inner),
        }
    }
    fn visit_expr_lit(&mut self, expr: &'a ExprLit) {
        if let Lit::Int(_) | Lit::Bool(_) = &expr.lit {
            let at = expr.lit.span().byte_range();
            self.mutant(at.clone(), at);
        }
    }
    fn visit_expr_path(&mut self, expr: &'a syn::ExprPath) {
        let names: Vec<_> = expr
            .path
            .segments
            .iter()
            .map(|s| s.ident.to_string())
            .collect();
        let found = match &names[..] {
            [name] => self.is_constant(name),
            [own, name] if own == "Self" => self.names.own.contains(name),
            [.., module, name] => self.known.get(module).is_some_and(|all| all.contains(name)),
            [] => false,
        };
        if found {
            let at = expr.span().byte_range();
            self.edits.insert(at.start, "(*");
            self.edits.insert(at.end, format!("{MADE}())"));
        }
    }
    fn visit_expr_call(&mut self, expr: &'a syn::ExprCall) {
        match &*expr.func {
            Expr::Path(path)
                if path
                    .path
                    .get_ident()
                    .is_some_and(|name| self.names.functions.contains(&name.to_string())) =>
            {
                self.edits.insert(path.span().byte_range().end, MADE);
            }
            func => self.visit_expr(func),
        }
        expr.args.iter().for_each(|arg| self.visit_expr(arg));
    }
}
