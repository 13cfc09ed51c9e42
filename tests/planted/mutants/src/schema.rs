//! Writes all mutants of a file into it, each behind a question that is answered when the program runs.

use std::collections::BTreeSet;
use std::ops::Range;

use proc_macro2::LineColumn;
use serde::Deserialize;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A mutant as `cargo mutants --list --json` tells it; its number is its place in that list, from 1.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mutant {
    #[serde(skip)]
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) file: String,
    genre: Genre,
    replacement: String,
    span: Place,
}

/// What is changed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArmGuard,
    MatchArm,
    StructField,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Place {
    start: Point,
    end: Point,
}

/// Counted from 1, in characters.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Point {
    line: usize,
    column: usize,
}

/// A file with its mutants in it.
pub(crate) struct Schema {
    pub(crate) text: String,
    /// Where in the text each mutant stands, so that an error of the compiler there is its own.
    pub(crate) places: Vec<(Range<usize>, usize)>,
    /// Those that have no place in it.
    pub(crate) left: Vec<usize>,
}

impl Schema {
    /// Puts the mutants of a file into its text, but those that do not compile.
    pub(crate) fn of(source: &str, mutants: &[Mutant], unviable: &BTreeSet<usize>) -> syn::Result<Self> {
        let tree = syn::parse_file(source)?;
        let lines: Vec<usize> = std::iter::once(0)
            .chain(source.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let mut writer = Writer {
            source,
            lines,
            mutants: mutants.iter().collect(),
            sites: Vec::new(),
            left: Vec::new(),
            root: None,
        };
        writer.visit_file(&tree);
        let mut left = std::mem::take(&mut writer.left);
        left.extend(writer.mutants.iter().map(|mutant| mutant.number));
        let (text, places) = writer.write(unviable);
        Ok(Self { text, places, left })
    }

    /// The mutant that stands at this place of the text.
    pub(crate) fn at(&self, place: usize) -> Option<usize> {
        let (_, number) = self.places.iter().find(|(range, _)| range.contains(&place))?;
        Some(*number)
    }
}

/// A part of the source that some mutants replace.
struct Site {
    range: Range<usize>,
    /// What goes before the value, where that needs something: the name of a field that is written short.
    before: String,
    kind: Kind,
    mutants: Vec<(usize, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Is there an expression: the mutant's comes instead.
    Expression,
    /// The body of a function, which the mutant leaves before it begins.
    Body,
    /// The body of a function that gives some iterator: the mutant's is of another type.
    Iterator,
    /// A pattern without a guard, which gets one.
    Pattern,
}

struct Writer<'a> {
    source: &'a str,
    lines: Vec<usize>,
    /// Those that have found no site yet.
    mutants: Vec<&'a Mutant>,
    sites: Vec<Site>,
    /// Those that no site can have.
    left: Vec<usize>,
    /// The whole of which the operator at hand is part: to change an operator can bind its neighbours in another way.
    root: Option<Range<usize>>,
}

impl<'a> Writer<'a> {
    fn offset(&self, line: usize, column: usize) -> usize {
        let start = self.lines.get(line - 1).copied().unwrap_or(self.source.len());
        let rest = self.source.get(start..).unwrap_or_default();
        start + rest.chars().take(column).map(char::len_utf8).sum::<usize>()
    }

    fn range(&self, spanned: &impl Spanned) -> Range<usize> {
        let (LineColumn { line, column }, end) = (spanned.span().start(), spanned.span().end());
        self.offset(line, column)..self.offset(end.line, end.column)
    }

    fn text(&self, range: Range<usize>) -> &'a str {
        self.source.get(range).unwrap_or_default()
    }

    fn range_of(&self, mutant: &Mutant) -> Range<usize> {
        let Place { start, end } = mutant.span;
        self.offset(start.line, start.column - 1)..self.offset(end.line, end.column - 1)
    }

    /// Takes the mutants of this genre that are exactly here. (Arms and fields may have their comma in the range.)
    fn take(&mut self, genre: Genre, at: &Range<usize>) -> Vec<&'a Mutant> {
        let all = std::mem::take(&mut self.mutants);
        let (found, others) = all.into_iter().partition(|mutant| {
            let range = self.range_of(mutant);
            mutant.genre == genre && range.start == at.start && at.end.abs_diff(range.end) <= 1
        });
        self.mutants = others;
        found
    }

    fn site(&mut self, range: Range<usize>, kind: Kind, mutants: Vec<(usize, String)>) {
        if !mutants.is_empty() {
            self.sites.push(Site {
                range,
                before: String::new(),
                kind,
                mutants,
            });
        }
    }

    fn body(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let Some(first) = block.stmts.first() else { return };
        let start = self.range(first).start;
        let end = self.range(block).end;
        let all = std::mem::take(&mut self.mutants);
        let (found, others): (Vec<_>, _) = all.into_iter().partition(|mutant| {
            let range = self.range_of(mutant);
            mutant.genre == Genre::FnValue && range.start == start && range.end <= end
        });
        self.mutants = others;
        let mutants = found
            .into_iter()
            .map(|mutant| (mutant.number, mutant.replacement.clone()))
            .collect();
        let range = self.range(block);
        let gives_some = |of: &syn::ReturnType| matches!(of, syn::ReturnType::Type(_, of) if matches!(**of, syn::Type::ImplTrait(_)));
        if gives_some(&signature.output) {
            self.site(range.start + 1..range.end - 1, Kind::Iterator, mutants);
        } else {
            self.site(range, Kind::Body, mutants);
        }
    }

    fn write(mut self, unviable: &BTreeSet<usize>) -> (String, Vec<(Range<usize>, usize)>) {
        // Sites are nested: of those that begin together the outer one, which was visited first, is written first; of
        // those that end together the inner one.
        let mut pieces: Vec<(usize, usize, usize, Vec<Piece>)> = Vec::new();
        for (order, site) in self.sites.iter_mut().enumerate() {
            site.mutants.retain(|(number, _)| !unviable.contains(number));
            if site.mutants.is_empty() {
                continue;
            }
            let (start, end) = site.pieces();
            let at = match site.kind {
                Kind::Expression | Kind::Iterator => site.range.start,
                Kind::Body => site.range.start + 1,
                Kind::Pattern => site.range.end,
            };
            pieces.push((at, 1, order, start));
            pieces.push((site.range.end, 0, usize::MAX - order, end));
        }
        pieces.sort_by_key(|(at, side, order, _)| (*at, *side, *order));
        let (mut text, mut places, mut from) = (String::new(), Vec::new(), 0);
        for (at, _, _, pieces) in pieces {
            text.push_str(self.text(from..at));
            from = at;
            for piece in pieces {
                let start = text.len();
                text.push_str(&piece.text);
                places.extend(piece.mutant.map(|number| (start..text.len(), number)));
            }
        }
        text.push_str(self.text(from..self.source.len()));
        (text, places)
    }
}

struct Piece {
    text: String,
    mutant: Option<usize>,
}

impl Piece {
    fn of(mutant: Option<usize>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, mutant }
    }
}

impl Site {
    /// What comes before and after the source of the site. What is there unchanged is first, so that an error of types
    /// is one of the mutant.
    fn pieces(&self) -> (Vec<Piece>, Vec<Piece>) {
        let numbers: Vec<_> = self
            .mutants
            .iter()
            .map(|(number, _)| number.to_string())
            .collect();
        let any = format!("crate::mutants::on(&[{}])", numbers.join(", "));
        match self.kind {
            Kind::Body => {
                let each = self.mutants.iter().map(|(number, value)| {
                    let text = format!(" if crate::mutants::on(&[{number}]) {{ return {value}; }}");
                    Piece::of(Some(*number), text)
                });
                (each.collect(), Vec::new())
            }
            Kind::Pattern => (vec![Piece::of(None, format!(" if !{any}"))], Vec::new()),
            Kind::Expression => self.choice(&any, &format!("{}(", self.before), ["", ""], ")"),
            Kind::Iterator => {
                let start = "let it: ::std::boxed::Box<dyn Iterator<Item = _>> = ";
                self.choice(&any, start, ["::std::boxed::Box::new({ ", "})"], "; it")
            }
        }
    }

    /// Around the source: what is there unless `any` of the mutants is alive, and theirs; each value within `around`.
    fn choice(&self, any: &str, start: &str, around: [&str; 2], last: &str) -> (Vec<Piece>, Vec<Piece>) {
        let [open, close] = around;
        let mut end = vec![Piece::of(None, close)];
        for (at, (number, value)) in self.mutants.iter().enumerate() {
            let question = if at + 1 < self.mutants.len() {
                format!("}} else if crate::mutants::on(&[{number}]) {{ ")
            } else {
                "} else { ".to_owned()
            };
            end.push(Piece::of(None, question));
            end.push(Piece::of(Some(*number), format!("{open}{value}{close} ")));
        }
        end.push(Piece::of(None, format!("}}{last}")));
        (vec![Piece::of(None, format!("{start}if !{any} {{ {open}"))], end)
    }
}

/// Whether one pattern surely matches what another one does.
fn has_all(pattern: &syn::Pat, other: &syn::Pat) -> bool {
    match (pattern, other) {
        (syn::Pat::TupleStruct(pattern), syn::Pat::TupleStruct(other)) => {
            let names = |path: &syn::Path| -> Vec<_> {
                let names = path.segments.iter().map(|part| part.ident.clone());
                names.collect()
            };
            names(&pattern.path) == names(&other.path) && pattern.elems.iter().all(is_any)
        }
        _ => is_any(pattern),
    }
}

/// Whether a pattern matches everything.
fn is_any(pattern: &syn::Pat) -> bool {
    // `None` is a name, too.
    let is_bound = |name: &syn::PatIdent| name.ident.to_string().starts_with(char::is_lowercase);
    matches!(pattern, syn::Pat::Wild(_) | syn::Pat::Rest(_))
        || matches!(pattern, syn::Pat::Ident(name) if is_bound(name))
}

/// Whether the expression is, or has as an operand of `&&`, a `let`: that is no value.
fn has_let(expression: &syn::Expr) -> bool {
    if let syn::Expr::Binary(binary) = expression {
        return has_let(&binary.left) || has_let(&binary.right);
    }
    matches!(expression, syn::Expr::Let(_))
}

impl<'ast> Visit<'ast> for Writer<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr(&mut self, expression: &'ast syn::Expr) {
        let syn::Expr::Binary(binary) = expression else {
            self.root = None;
            return visit::visit_expr(self, expression);
        };
        let root = if has_let(expression) {
            None
        } else {
            let own = self.range(expression);
            Some(self.root.clone().unwrap_or(own))
        };
        if let Some(root) = &root {
            let at = self.range(&binary.op);
            let mutants = self
                .take(Genre::BinaryOperator, &at)
                .into_iter()
                .map(|mutant| {
                    let (before, after) = (self.text(root.start..at.start), self.text(at.end..root.end));
                    (mutant.number, format!("{before}{}{after}", mutant.replacement))
                })
                .collect();
            self.site(root.clone(), Kind::Expression, mutants);
        }
        self.root.clone_from(&root);
        self.visit_expr(&binary.left);
        self.root = root;
        self.visit_expr(&binary.right);
        self.root = None;
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        let at = self.range(&unary.op);
        let operand = self.text(self.range(&unary.expr)).to_owned();
        let mutants = self
            .take(Genre::UnaryOperator, &at)
            .into_iter()
            .map(|mutant| (mutant.number, operand.clone()))
            .collect();
        self.site(self.range(unary), Kind::Expression, mutants);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_match(&mut self, expression: &'ast syn::ExprMatch) {
        // `_ if ..` is taken for an arm that has all the rest, and it is not: no other arm can go whose values none has.
        let mut bare = expression.arms.iter().filter(|arm| arm.guard.is_none());
        while let Some(arm) = bare.next() {
            if !bare.clone().any(|later| has_all(&later.pat, &arm.pat)) {
                let found = self.take(Genre::MatchArm, &self.range(arm));
                self.left.extend(found.iter().map(|mutant| mutant.number));
            }
        }
        visit::visit_expr_match(self, expression);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let deleted = self.take(Genre::MatchArm, &self.range(arm));
        let deleted = deleted
            .into_iter()
            .map(|mutant| (mutant.number, "false".to_owned()));
        if let Some((_, guard)) = &arm.guard {
            let at = self.range(guard);
            let changed = self.take(Genre::MatchArmGuard, &at);
            let mutants = changed
                .into_iter()
                .map(|mutant| (mutant.number, mutant.replacement.clone()));
            let mutants = mutants.chain(deleted).collect();
            self.site(at, Kind::Expression, mutants);
        } else {
            self.site(self.range(&arm.pat), Kind::Pattern, deleted.collect());
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, expression: &'ast syn::ExprStruct) {
        for field in &expression.fields {
            let Some(rest) = &expression.rest else { break };
            let rest = self.text(self.range(rest));
            let syn::Member::Named(name) = &field.member else {
                continue;
            };
            let mutants: Vec<_> = self
                .take(Genre::StructField, &self.range(field))
                .into_iter()
                .map(|mutant| (mutant.number, format!("({rest}).{name}")))
                .collect();
            if !mutants.is_empty() {
                let before = if field.colon_token.is_none() {
                    format!("{name}: ")
                } else {
                    String::new()
                };
                self.sites.push(Site {
                    range: self.range(&field.expr),
                    before,
                    kind: Kind::Expression,
                    mutants,
                });
            }
        }
        visit::visit_expr_struct(self, expression);
    }
}
