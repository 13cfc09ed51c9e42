//! Parameters of header field values.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use crate::error::ParseError;
use crate::wire::{HeaderName, grammar};

/// The parameters of a header field value, in order (`*( SEMI generic-param )`, RFC 3261 section 25.1).
///
/// Names are compared without regard to case and do not repeat. Kept as text and read on demand: a value in quotes
/// keeps its quotes when it is written again.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Params<'a> {
    /// `;name`, `;name=token` or `;name="quoted"`, nothing else, no blanks between.
    text: Cow<'a, str>,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as written.
    pub name: &'a str,
    /// The value, if there is one.
    pub value: Option<Value<'a>>,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A token, or a host.
    Token(&'a str),
    /// What a quoted string stands for, its escapes removed.
    Quoted(Cow<'a, str>),
}

impl<'a> Value<'a> {
    fn read(text: &'a str) -> Self {
        match grammar::quoted(text) {
            Ok((_, inside)) => Self::Quoted(inside),
            Err(_) => Self::Token(text),
        }
    }

    /// The text of the value.
    pub fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Token(text) => Cow::Borrowed(text),
            Self::Quoted(text) => text,
        }
    }
}

impl<'a> Params<'a> {
    /// No parameters.
    pub const fn new() -> Self {
        Self {
            text: Cow::Borrowed(""),
        }
    }

    pub(crate) const fn from_canonical(text: Cow<'a, str>) -> Self {
        Self { text }
    }

    /// Reads `;name=value;name..`, for parameters that an application supplies (E11) for the field `header`.
    ///
    /// # Errors
    /// Anything but a list of parameters, and a name that appears twice.
    pub fn parse(header: HeaderName, text: &'a str) -> Result<Self, ParseError> {
        grammar::whole(grammar::params, text).map_err(|what| ParseError::header(header, what))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// As they are written, from the first semicolon on.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = Param<'_>> {
        Raw { rest: &self.text }.map(|(name, value)| Param {
            name,
            value: value.map(Value::read),
        })
    }

    /// Whether there is one of this name, with a value or without.
    pub fn contains(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The value of the parameter, unescaped. `None` also where it is there without a value.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name).map(Value::into_text)
    }

    /// The value of the parameter with the form it has.
    pub fn value(&self, name: &str) -> Option<Value<'_>> {
        self.raw(name).flatten().map(Value::read)
    }

    /// The value, if it is a token (or host) and no quoted string.
    pub fn token(&self, name: &str) -> Option<&str> {
        self.raw(name).flatten().filter(|text| !text.starts_with('"'))
    }

    fn raw(&self, name: &str) -> Option<Option<&str>> {
        Raw { rest: &self.text }
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Sets a parameter, in the place of an earlier one of that name or at the end: as a token if `value` is one, else
    /// in quotes. A `name` that is no token cannot be a parameter: nothing changes.
    pub fn set(&mut self, name: &str, value: &str) {
        if grammar::whole(grammar::value_text, value)
            .is_ok_and(|read| read == value && !read.starts_with('"'))
        {
            self.put(name, Some(value));
        } else {
            self.set_quoted(name, value);
        }
    }

    /// The same, in quotes always (`+sip.instance`).
    pub fn set_quoted(&mut self, name: &str, value: &str) {
        let mut text = String::with_capacity(value.len() + 2);
        grammar::write_quoted(&mut text, value);
        self.put(name, Some(&text));
    }

    /// Sets a parameter without value.
    pub fn set_flag(&mut self, name: &str) {
        self.put(name, None);
    }

    /// Takes a parameter out; `false` if it was not there.
    pub fn remove(&mut self, name: &str) -> bool {
        if !self.contains(name) {
            return false;
        }
        let mut text = String::with_capacity(self.text.len());
        for (other, value) in (Raw { rest: &self.text }) {
            if !other.eq_ignore_ascii_case(name) {
                push(&mut text, other, value);
            }
        }
        self.text = Cow::Owned(text);
        true
    }

    /// [`set`](Self::set), for building in one expression.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// [`set_flag`](Self::set_flag), for building in one expression.
    #[must_use]
    pub fn with_flag(mut self, name: &str) -> Self {
        self.set_flag(name);
        self
    }

    fn put(&mut self, name: &str, value: Option<&str>) {
        if !grammar::is_token(name) {
            return;
        }
        if !self.contains(name) {
            push(self.text.to_mut(), name, value);
            return;
        }
        let mut text = String::with_capacity(self.text.len());
        for (other, old) in (Raw { rest: &self.text }) {
            let value = if other.eq_ignore_ascii_case(name) {
                value
            } else {
                old
            };
            push(&mut text, other, value);
        }
        self.text = Cow::Owned(text);
    }

    /// Appends them.
    pub fn write(&self, out: &mut String) {
        out.push_str(&self.text);
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Params<'static> {
        Params {
            text: Cow::Owned(self.text.into_owned()),
        }
    }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Params({:?})", self.text)
    }
}

fn push(text: &mut String, name: &str, value: Option<&str>) {
    text.push(';');
    text.push_str(name);
    if let Some(value) = value {
        text.push('=');
        text.push_str(value);
    }
}

/// The parameters of a canonical text, values as written.
struct Raw<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Raw<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.strip_prefix(';')?;
        let end = text
            .bytes()
            .position(|byte| matches!(byte, b';' | b'='))
            .unwrap_or(text.len());
        let (name, after) = text.split_at_checked(end)?;
        let Some(value) = after.strip_prefix('=') else {
            self.rest = after;
            return Some((name, None));
        };
        let length = match grammar::quoted_raw(value) {
            Ok((rest, _)) => value.len() - rest.len(),
            Err(_) => value.find(';').unwrap_or(value.len()),
        };
        let (value, rest) = value.split_at_checked(length)?;
        self.rest = rest;
        Some((name, Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn parse(text: &str) -> Params<'_> {
        Params::parse(HeaderName::Contact, text).unwrap()
    }

    #[test]
    fn blanks_go_and_quotes_stay() {
        let params = parse("; a = b ;C ;\td = \"e ; \\\"f\\\" = \" ; g=[::1]");
        assert_eq!(params.as_str(), ";a=b;C;d=\"e ; \\\"f\\\" = \";g=[::1]");
        assert_eq!(params.get("A").as_deref(), Some("b"));
        assert!(params.contains("c"));
        assert_eq!(params.get("c"), None);
        assert_eq!(params.get("d").as_deref(), Some("e ; \"f\" = "));
        assert_eq!((params.token("d"), params.token("g")), (None, Some("[::1]")));
        assert!(!params.contains("f"));
        assert_eq!(params.iter().count(), 4);
        let owned = parse(";a;b");
        assert!(matches!(owned.text, Cow::Borrowed(";a;b")));
    }

    #[test]
    fn what_is_no_list_of_parameters_is_refused() {
        for text in [
            ";", "a", ";a;", ";;a", ";a=", ";=b", ";a;A", ";a=\"b", ";a b", ";a=b/c", ";a=:", ";a=[b]",
            ";\"a\"",
        ] {
            assert!(Params::parse(HeaderName::Contact, text).is_err(), "{text}");
        }
        assert!(parse("").is_empty());
    }

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let mut params = Params::new().with("a", "b").with("c", "d e").with_flag("f");
        params.set_quoted("G", "h");
        params.set("i", "2001:db8::1");
        params.set("j", "");
        params.set("k", "x\r\ny");
        params.set("no token", "l");
        assert_eq!(
            params.as_str(),
            ";a=b;c=\"d e\";f;G=\"h\";i=2001:db8::1;j=\"\";k=\"x  y\""
        );
        params.set("A", "2");
        params.set_flag("g");
        assert!(params.remove("C"));
        assert!(!params.remove("c"));
        let names: Vec<_> = params.iter().map(|param| param.name).collect();
        assert_eq!(names, ["a", "f", "G", "i", "j", "k"]);
        assert_eq!(params.value("a"), Some(Value::Token("2")));
        assert_eq!(params.value("j"), Some(Value::Quoted("".into())));
        assert_eq!(params.value("g"), None);
    }
}
