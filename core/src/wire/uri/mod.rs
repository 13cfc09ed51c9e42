//! URIs: SIP and SIPS (RFC 3261 section 19.1), TEL (RFC 3966), and any other with an opaque rest.
//!
//! Parts are kept escaped, as they were written. Equality of the types (`==`) is equality of the text of the parts;
//! whether two URIs mean the same is [`equal`].

mod compare;
pub(super) mod escape;

pub use compare::{UserCase, canonical_key, equal};
pub use escape::{unescape, unescape_str};

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use memchr::memchr;

use crate::error::{ParseError, Place};
use crate::wire::class::Class;
use crate::wire::grammar::{self, MAX_PARAMS, Names, Unwanted};

use escape::{escape, is_header_char, is_param_char, is_user_char, is_visual_separator, same_text};

/// A URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Uri<'a> {
    /// `sip:` or `sips:`.
    Sip(SipUri<'a>),
    /// `tel:`.
    Tel(TelUri<'a>),
    /// Any other scheme.
    Other(OtherUri<'a>),
}

/// A URI that borrows nothing.
pub type UriBuf = Uri<'static>;

/// A SIP or SIPS URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SipUri<'a> {
    /// Whether the scheme is `sips`.
    pub secure: bool,
    /// The user part, escaped; [`SipUri::user_unescaped`] for its meaning.
    pub user: Option<Cow<'a, str>>,
    /// The password, escaped; only with a user.
    pub password: Option<Cow<'a, str>>,
    /// The host.
    pub host: Host<'a>,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// The parameters.
    pub params: UriParams<'a>,
    /// The headers.
    pub headers: UriHeaders<'a>,
}

/// A telephone number (RFC 3966 section 3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TelUri<'a> {
    /// The number as written: digits and visual separators, `+` first in a global one.
    pub number: Cow<'a, str>,
    /// The parameters; a local number has a `phone-context`.
    pub params: UriParams<'a>,
}

/// A URI of another scheme (`absoluteURI`, RFC 3261 section 25.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OtherUri<'a> {
    /// The scheme as written.
    pub scheme: Cow<'a, str>,
    /// Everything after the colon.
    pub rest: Cow<'a, str>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// A domain name as written; compare with [`Host::same`].
    Name(Cow<'a, str>),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; in brackets when written.
    V6(Ipv6Addr),
}

/// The parameters of a URI, escaped as written, in order. A name does not repeat.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct UriParams<'a> {
    /// `;name` or `;name=value`, each.
    text: Cow<'a, str>,
}

/// The headers of a URI, escaped as written, in order.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct UriHeaders<'a> {
    /// `name=value` with `&` between.
    text: Cow<'a, str>,
}

impl<'a> Uri<'a> {
    /// Reads a URI; nothing may stand around it.
    ///
    /// # Errors
    /// Text that is no URI, with [`Place::Uri`].
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::read(text).map_err(|what| ParseError {
            place: Place::Uri,
            what,
        })
    }

    #[inline]
    pub(crate) fn read(text: &'a str) -> Result<Self, &'static str> {
        let read = match text.as_bytes() {
            [s, i, p, b':', ..] if is_scheme([*s, *i, *p], *b"sip") => {
                SipUri::read(false, text.get(4..).unwrap_or_default()).map(Self::Sip)
            }
            _ => Self::read_other(text),
        };
        // Nothing that is taken has such a character. Where there is one, that says more than what it was found by.
        read.map_err(|what| {
            if text.bytes().all(|byte| byte.is_ascii_graphic()) {
                what
            } else {
                "character in a URI that must be escaped"
            }
        })
    }

    fn read_other(text: &'a str) -> Result<Self, &'static str> {
        let Some((scheme, rest)) = split_at_byte(text, b':') else {
            return Err("URI without a scheme");
        };
        if scheme.eq_ignore_ascii_case("sips") {
            SipUri::read(true, rest).map(Self::Sip)
        } else if scheme.eq_ignore_ascii_case("tel") {
            TelUri::read(rest).map(Self::Tel)
        } else {
            OtherUri::read(scheme, rest).map(Self::Other)
        }
    }

    /// The scheme: `sip`, `sips` or `tel` in lower case, another as written.
    pub fn scheme(&self) -> &str {
        match self {
            Self::Sip(uri) if uri.secure => "sips",
            Self::Sip(_) => "sip",
            Self::Tel(_) => "tel",
            Self::Other(uri) => &uri.scheme,
        }
    }

    /// The SIP or SIPS URI that it is.
    pub const fn as_sip(&self) -> Option<&SipUri<'a>> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Tel(_) | Self::Other(_) => None,
        }
    }

    /// The same, for changing it.
    pub const fn as_sip_mut(&mut self) -> Option<&mut SipUri<'a>> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Tel(_) | Self::Other(_) => None,
        }
    }

    /// Appends the URI.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Sip(uri) => uri.write(out),
            Self::Tel(uri) => {
                out.push_str("tel:");
                out.push_str(&uri.number);
                out.push_str(&uri.params.text);
            }
            Self::Other(uri) => {
                out.push_str(&uri.scheme);
                out.push(':');
                out.push_str(&uri.rest);
            }
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> UriBuf {
        match self {
            Self::Sip(uri) => Uri::Sip(uri.into_owned()),
            Self::Tel(uri) => Uri::Tel(TelUri {
                number: owned(uri.number),
                params: uri.params.into_owned(),
            }),
            Self::Other(uri) => Uri::Other(OtherUri {
                scheme: owned(uri.scheme),
                rest: owned(uri.rest),
            }),
        }
    }
}

impl<'a> From<SipUri<'a>> for Uri<'a> {
    fn from(uri: SipUri<'a>) -> Self {
        Self::Sip(uri)
    }
}

impl<'a> SipUri<'a> {
    /// `sip:host`, with `user` (not escaped yet) in front.
    pub fn new(user: Option<&str>, host: Host<'a>) -> Self {
        Self {
            secure: false,
            user: user
                .filter(|user| !user.is_empty())
                .map(|user| Cow::Owned(escape(user, is_user_char))),
            password: None,
            host,
            port: None,
            params: UriParams::default(),
            headers: UriHeaders::default(),
        }
    }

    #[inline]
    fn read(secure: bool, text: &'a str) -> Result<Self, &'static str> {
        let (user, password, rest) = userinfo(text);
        let read = grammar::reason(grammar::host(rest)).and_then(|(rest, host)| {
            let (rest, port) = match grammar::after(b':', rest) {
                Some(digits) => {
                    let (rest, port) = grammar::reason(grammar::port_number(digits))?;
                    (rest, Some(port))
                }
                None => (rest, None),
            };
            let (params, rest) = UriParams::read(rest)?;
            let headers = match grammar::after(b'?', rest) {
                Some(headers) => UriHeaders::read(headers)?,
                None if rest.is_empty() => UriHeaders::default(),
                None => return Err("unexpected text after the value"),
            };
            Ok(Self {
                secure,
                user: user.map(Cow::Borrowed),
                password: password.map(Cow::Borrowed),
                host,
                port,
                params,
                headers,
            })
        });
        // Nothing behind the user information can hold an "@": it is where that could not be read.
        read.map_err(|what| {
            let user_is_unread = user.is_none() && rest.contains('@');
            if user_is_unread { "bad user part" } else { what }
        })
    }

    /// The user part with its escapes resolved: any bytes, not text for certain.
    pub fn user_bytes(&self) -> Option<Cow<'_, [u8]>> {
        self.user.as_deref().map(unescape)
    }

    /// The user part with its escapes resolved, if that is UTF-8.
    pub fn user_unescaped(&self) -> Option<Cow<'_, str>> {
        unescape_str(self.user.as_deref()?)
    }

    /// Parameter `transport`.
    pub fn transport(&self) -> Option<&str> {
        self.params.get("transport")
    }

    /// Whether it marks a loose router (`lr`).
    pub fn lr(&self) -> bool {
        self.params.contains("lr")
    }

    /// Parameter `maddr`.
    pub fn maddr(&self) -> Option<Host<'_>> {
        self.params
            .get("maddr")
            .and_then(|text| grammar::whole(grammar::host, text).ok())
    }

    /// Parameter `ttl`, if it is a number up to 255.
    pub fn ttl(&self) -> Option<u8> {
        self.params.get("ttl").and_then(|text| text.parse().ok())
    }

    /// Parameter `user` (`phone` or `ip`).
    pub fn user_param(&self) -> Option<&str> {
        self.params.get("user")
    }

    /// Parameter `method`.
    pub fn method_param(&self) -> Option<&str> {
        self.params.get("method")
    }

    /// Parameter `gr` (RFC 5627): empty where it has no value.
    pub fn gr(&self) -> Option<&str> {
        self.params
            .contains("gr")
            .then(|| self.params.get("gr").unwrap_or_default())
    }

    /// Parameter `opaque` (Microsoft's GRUUs).
    pub fn opaque(&self) -> Option<&str> {
        self.params.get("opaque")
    }

    /// Parameter `epid`.
    pub fn epid(&self) -> Option<&str> {
        self.params.get("epid")
    }

    /// Whether it is a GRUU: by `gr` (RFC 5627) or by `gruu` (its draft, as Microsoft's servers have it).
    pub fn is_gruu(&self) -> bool {
        self.params.contains("gr") || self.params.contains("gruu")
    }

    /// The URI as it may stand in From and To, where it names somebody and not the way there (RFC 3261 section 19.1.1,
    /// table 1): without port, headers, and the parameters that a Request-URI or a Contact may have.
    #[must_use]
    pub fn in_address(&self) -> Self {
        let mut uri = self.clone();
        uri.port = None;
        uri.headers = UriHeaders::default();
        for name in ["transport", "maddr", "ttl", "method", "lr"] {
            uri.params.remove(name);
        }
        uri
    }

    /// The port that is meant: the written one, or 5060, or 5061 for SIPS.
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(if self.secure { 5061 } else { 5060 })
    }

    /// Appends the URI.
    pub fn write(&self, out: &mut String) {
        out.push_str(if self.secure { "sips:" } else { "sip:" });
        if let Some(user) = &self.user {
            out.push_str(user);
            if let Some(password) = &self.password {
                out.push(':');
                out.push_str(password);
            }
            out.push('@');
        }
        self.host.write(out);
        if let Some(port) = self.port {
            out.push(':');
            push_number(out, u64::from(port));
        }
        out.push_str(&self.params.text);
        if !self.headers.text.is_empty() {
            out.push('?');
            out.push_str(&self.headers.text);
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> SipUri<'static> {
        SipUri {
            secure: self.secure,
            user: self.user.map(owned),
            password: self.password.map(owned),
            host: self.host.into_owned(),
            port: self.port,
            params: self.params.into_owned(),
            headers: UriHeaders {
                text: owned(self.headers.text),
            },
        }
    }
}

/// Whether two escaped names of parameters are the same.
fn same_name(a: &str, b: &str) -> bool {
    same_text(a, b, UserCase::Insensitive)
}

/// Whether letters are those of a scheme, in any case.
#[inline]
fn is_scheme(letters: [u8; 3], scheme: [u8; 3]) -> bool {
    letters.eq_ignore_ascii_case(&scheme)
}

/// User and password before an "@", and what is behind it; all of `text` where they are not, or are malformed.
#[inline]
fn userinfo(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let bytes = text.as_bytes();
    let (user, _) = Class::USER.escaped_run(bytes);
    let password = match bytes.get(user) {
        Some(b':') => {
            let start = user + 1;
            let (length, _) = Class::PASSWORD.escaped_run(bytes.get(start..).unwrap_or_default());
            Some((start, start + length))
        }
        _ => None,
    };
    let end = password.map_or(user, |(_, end)| end);
    if user == 0 || bytes.get(end) != Some(&b'@') {
        return (None, None, text);
    }
    (
        text.get(..user),
        password.and_then(|(start, end)| text.get(start..end)),
        text.get(end + 1..).unwrap_or_default(),
    )
}

impl<'a> TelUri<'a> {
    fn read(text: &'a str) -> Result<Self, &'static str> {
        let (number, params) = match text.find(';').and_then(|at| text.split_at_checked(at)) {
            Some(parts) => parts,
            None => (text, ""),
        };
        let (params, "") = UriParams::read(params)? else {
            return Err("bad value of a URI parameter");
        };
        let good = match number.strip_prefix('+') {
            Some(digits) => {
                digits
                    .chars()
                    .all(|c| c.is_ascii_digit() || is_visual_separator(c))
                    && digits.contains(|c: char| c.is_ascii_digit())
            }
            None => {
                let is_digit = |c: char| c.is_ascii_hexdigit() || c == '*' || c == '#';
                number.chars().all(|c| is_digit(c) || is_visual_separator(c)) && number.contains(is_digit)
            }
        };
        if !good {
            return Err("bad telephone number");
        }
        if !number.starts_with('+') && params.get("phone-context").is_none() {
            return Err("local telephone number without phone-context");
        }
        Ok(Self {
            number: Cow::Borrowed(number),
            params,
        })
    }

    /// Whether the number is a global one.
    pub fn is_global(&self) -> bool {
        self.number.starts_with('+')
    }

    /// The number without visual separators: `+` and digits, or the digits of a local number.
    pub fn digits(&self) -> impl Iterator<Item = char> {
        self.number.chars().filter(|c| !is_visual_separator(*c))
    }
}

impl<'a> OtherUri<'a> {
    fn read(scheme: &'a str, rest: &'a str) -> Result<Self, &'static str> {
        let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !good {
            return Err("bad URI scheme");
        }
        if rest.is_empty() || !is_all(Class::URIC, rest) {
            return Err("bad URI");
        }
        Ok(Self {
            scheme: Cow::Borrowed(scheme),
            rest: Cow::Borrowed(rest),
        })
    }
}

impl<'a> Host<'a> {
    /// Reads a name, an IPv4 address, or an IPv6 address with brackets or without.
    ///
    /// # Errors
    /// Anything else, with [`Place::Uri`].
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        grammar::whole(grammar::host_or_bare_ipv6, text).map_err(|what| ParseError {
            place: Place::Uri,
            what,
        })
    }

    /// Whether both are the same host: names without regard to case and to a dot at the end.
    pub fn same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Self::Name(a), Host::Name(b)) => without_dot(a).eq_ignore_ascii_case(without_dot(b)),
            (Self::V4(a), Host::V4(b)) => a == b,
            (Self::V6(a), Host::V6(b)) => a == b,
            (Self::Name(_) | Self::V4(_) | Self::V6(_), _) => false,
        }
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// Appends the host, an IPv6 address in brackets.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Name(name) => out.push_str(name),
            Self::V4(address) => {
                for (at, octet) in address.octets().into_iter().enumerate() {
                    if at > 0 {
                        out.push('.');
                    }
                    push_number(out, u64::from(octet));
                }
            }
            Self::V6(address) => push_display(out, format_args!("[{address}]")),
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Host<'static> {
        match self {
            Self::Name(name) => Host::Name(owned(name)),
            Self::V4(address) => Host::V4(address),
            Self::V6(address) => Host::V6(address),
        }
    }
}

impl From<IpAddr> for Host<'_> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl From<SocketAddr> for Host<'_> {
    fn from(address: SocketAddr) -> Self {
        address.ip().into()
    }
}

impl<'a> UriParams<'a> {
    /// Reads the parameters that `text` begins with, and gives what is behind them.
    #[inline]
    fn read(text: &'a str) -> Result<(Self, &'a str), &'static str> {
        let mut names = Names::default();
        let mut rest = text;
        while let Some(part) = grammar::after(b';', rest) {
            let (length, escapes) = Class::PARAM.escaped_run(part.as_bytes());
            let Some((name, after_name)) = part.split_at_checked(length).filter(|_| length > 0) else {
                return Err("bad name of a URI parameter");
            };
            let after_value = match grammar::after(b'=', after_name) {
                Some(value) => {
                    let (length, _) = Class::PARAM.escaped_run(value.as_bytes());
                    if length == 0 {
                        return Err("bad value of a URI parameter");
                    }
                    value.get(length..).unwrap_or_default()
                }
                None => after_name,
            };
            match names.add(name, escapes, same_name) {
                Ok(()) => {}
                Err(Unwanted::Repeated) => return Err("URI parameter given twice"),
                Err(Unwanted::TooMany) => return Err("too many URI parameters"),
            }
            rest = after_value;
        }
        let read = text.get(..text.len() - rest.len()).unwrap_or_default();
        Ok((
            Self {
                text: Cow::Borrowed(read),
            },
            rest,
        ))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// As they are written, from the first semicolon on.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// All of them in order: names and values as written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.text
            .split(';')
            .skip(1)
            .map(|part| match split_at_byte(part, b'=') {
                Some((name, value)) => (name, Some(value)),
                None => (part, None),
            })
    }

    /// Whether there is one of this name, with a value or without.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value of the parameter as written. `None` also where it is there without a value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).flatten()
    }

    fn find(&self, name: &str) -> Option<Option<&str>> {
        self.iter()
            .find(|(candidate, _)| same_text(candidate, name, UserCase::Insensitive))
            .map(|(_, value)| value)
    }

    /// Sets a parameter, escaping what must be, in the place of an earlier one or at the end. An empty value makes a
    /// parameter without value.
    pub fn set(&mut self, name: &str, value: &str) {
        let name = escape(name, is_param_char);
        let value = escape(value, is_param_char);
        if name.is_empty() {
            return;
        }
        let mut text = String::with_capacity(self.text.len() + name.len() + value.len() + 2);
        let mut push = |name: &str, value: Option<&str>| {
            text.push(';');
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        };
        let new = Some(value.as_str()).filter(|value| !value.is_empty());
        let mut placed = false;
        for (other, old) in self.iter() {
            if same_text(other, &name, UserCase::Insensitive) {
                push(other, new);
                placed = true;
            } else {
                push(other, old);
            }
        }
        if !placed {
            push(&name, new);
        }
        self.text = Cow::Owned(text);
    }

    /// Sets a parameter without value.
    pub fn set_flag(&mut self, name: &str) {
        self.set(name, "");
    }

    /// [`set`](Self::set), for building in one expression.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// Takes a parameter out; `false` if it was not there.
    pub fn remove(&mut self, name: &str) -> bool {
        if !self.contains(name) {
            return false;
        }
        let mut text = String::with_capacity(self.text.len());
        for part in self.text.split(';').skip(1) {
            let other = split_at_byte(part, b'=').map_or(part, |(other, _)| other);
            if !same_text(other, name, UserCase::Insensitive) {
                text.push(';');
                text.push_str(part);
            }
        }
        self.text = Cow::Owned(text);
        true
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> UriParams<'static> {
        UriParams {
            text: owned(self.text),
        }
    }
}

impl<'a> UriHeaders<'a> {
    fn read(text: &'a str) -> Result<Self, &'static str> {
        for (count, part) in text.split('&').enumerate() {
            let Some((name, value)) = split_at_byte(part, b'=') else {
                return Err("URI header without a value");
            };
            if count >= MAX_PARAMS {
                return Err("too many URI headers");
            }
            if name.is_empty() || !is_all(Class::HEADER, name) || !is_all(Class::HEADER, value) {
                return Err("bad URI header");
            }
        }
        Ok(Self {
            text: Cow::Borrowed(text),
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// As they are written, after the question mark.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// All of them in order: names and values as written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.split('&').filter_map(|part| split_at_byte(part, b'='))
    }

    /// Appends one, escaping what must be.
    pub fn add(&mut self, name: &str, value: &str) {
        if name.is_empty() {
            return;
        }
        let text = self.text.to_mut();
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&escape(name, is_header_char));
        text.push('=');
        text.push_str(&escape(value, is_header_char));
    }
}

/// Whether a text is of characters of a class and of well-formed escapes.
fn is_all(class: Class, text: &str) -> bool {
    class.escaped_run(text.as_bytes()).0 == text.len()
}

/// What stands before the first `separator`, an ASCII character, and what stands behind it.
fn split_at_byte(text: &str, separator: u8) -> Option<(&str, &str)> {
    let (before, after) = text.split_at_checked(memchr(separator, text.as_bytes())?)?;
    Some((before, after.split_at_checked(1)?.1))
}

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

fn push_display(out: &mut String, value: fmt::Arguments<'_>) {
    // A string takes all that is written to it.
    let _ = fmt::write(out, value);
}

/// Appends a number in decimal.
pub(crate) fn push_number(out: &mut String, value: u64) {
    let digit = |value: u64| char::from(b'0' + u8::try_from(value % 10).unwrap_or_default());
    // Ports and lengths have up to five digits; what is above them comes first.
    if value >= 100_000 {
        push_number(out, value / 100_000);
    }
    if value >= 100 {
        for place in [10_000, 1_000, 100] {
            if value >= place {
                out.push(digit(value / place));
            }
        }
    }
    if value >= 10 {
        out.push(digit(value / 10));
    }
    out.push(digit(value));
}

macro_rules! display_as_written {
    ($($type:ident),*) => {
        $(impl fmt::Display for $type<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = String::new();
                self.write(&mut text);
                f.write_str(&text)
            }
        })*
    };
}

display_as_written!(Uri, SipUri, Host);

impl fmt::Debug for UriParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UriParams({:?})", self.text)
    }
}

impl fmt::Debug for UriHeaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UriHeaders({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_written_in_decimal() {
        for value in [0, 7, 10, 5060, 65_535, 99_999, 100_000, 1_000_203, u64::MAX] {
            let mut out = String::from("n");
            push_number(&mut out, value);
            assert_eq!(out, alloc::format!("n{value}"));
        }
    }

    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    fn sip(text: &str) -> SipUri<'_> {
        match Uri::parse(text) {
            Ok(Uri::Sip(uri)) => uri,
            other => panic!("{text}: {other:?}"),
        }
    }

    // RFC 3261 section 19.1.1, table 1: what is marked "-" for To and From goes, all else stays.
    #[test]
    fn an_address_names_somebody_and_not_the_way() {
        for (text, address) in [
            ("sip:alice@atlanta.com", "sip:alice@atlanta.com"),
            (
                "sips:alice:pw@atlanta.com:5071;transport=tcp?subject=x",
                "sips:alice:pw@atlanta.com",
            ),
            (
                "sip:+1-212@gw.com:5060;user=phone;maddr=10.0.0.1;ttl=1;method=BYE;lr;opaque=x;Transport=TCP",
                "sip:+1-212@gw.com;user=phone;opaque=x",
            ),
        ] {
            assert_eq!(sip(text).in_address().to_string(), address);
        }
    }

    // RFC 3261 section 19.1.3.
    #[test]
    fn the_examples_of_the_rfc_are_taken_and_written_as_they_were() {
        for text in [
            "sip:alice@atlanta.com",
            "sip:alice:secretword@atlanta.com;transport=tcp",
            "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:+1-212-555-1212:1234@gateway.com;user=phone",
            "sips:1212@gateway.com",
            "sip:alice@192.0.2.4",
            "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
            "sip:alice;day=tuesday@atlanta.com",
        ] {
            assert_eq!(sip(text).to_string(), text);
        }
        let uri = sip("sip:alice:secretword@atlanta.com;transport=tcp");
        assert_eq!(
            (uri.user.as_deref(), uri.password.as_deref(), uri.transport()),
            (Some("alice"), Some("secretword"), Some("tcp"))
        );
        let uri = sip("sips:alice@atlanta.com?subject=project%20x&priority=urgent");
        assert!(uri.secure);
        let headers: Vec<_> = uri.headers.iter().collect();
        assert_eq!(headers, [("subject", "project%20x"), ("priority", "urgent")]);
        let uri = sip("sip:alice;day=tuesday@atlanta.com");
        assert_eq!(
            (uri.user.as_deref(), uri.params.is_empty()),
            (Some("alice;day=tuesday"), true)
        );
    }

    // RFC 4475 sections 3.1.1.2, 3.1.1.3, 3.1.1.4 and 3.1.1.9.
    #[test]
    fn torture_of_user_parts() {
        let uri = sip(
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
        );
        assert_eq!(
            uri.user.as_deref(),
            Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
        );
        assert_eq!(
            uri.password.as_deref(),
            Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
        );
        assert_eq!(uri.host, Host::Name("example.com".into()));

        let uri = sip("sip:sips%3Auser%40example.com@example.net");
        assert_eq!(uri.user_unescaped().as_deref(), Some("sips:user@example.com"));
        assert_eq!(uri.host, Host::Name("example.net".into()));
        let uri = sip("sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31");
        assert_eq!(uri.user_unescaped().as_deref(), Some("caller"));
        assert!(uri.lr());
        assert_eq!(
            uri.params.get("name").and_then(unescape_str).as_deref(),
            Some("value%41")
        );

        assert_eq!(
            sip("sip:null-%00-null@example.com").user_bytes().as_deref(),
            Some(&b"null-\0-null"[..])
        );
        assert_eq!(
            sip("sip:user;par=u%40example.net@example.com")
                .user_unescaped()
                .as_deref(),
            Some("user;par=u@example.net")
        );
    }

    // RFC 5118 sections 4.1 to 4.4 and 4.10.
    #[test]
    fn ipv6_hosts() {
        let v6 = |text: &str| Host::V6(text.parse().unwrap());
        assert_eq!(sip("sip:[2001:db8::10]").host, v6("2001:db8::10"));
        let uri = sip("sip:[2001:db8::10:5070]");
        assert_eq!((uri.host, uri.port), (v6("2001:db8::10:5070"), None));
        let uri = sip("sip:[2001:db8::10]:5070");
        assert_eq!((uri.host, uri.port), (v6("2001:db8::10"), Some(5070)));
        assert_eq!(sip("sip:[::1]").to_string(), "sip:[::1]");
        assert_eq!(
            sip("sip:user@[2001:db8::192.0.2.1]").host,
            v6("2001:db8::192.0.2.1")
        );
        assert_eq!(
            sip("sip:user@[2001:db8:::192.0.2.1]").host,
            v6("2001:db8::192.0.2.1")
        );
        assert!(Uri::parse("sip:2001:db8::10").is_err());
        assert!(Uri::parse("sip:[::1]x").is_err());
        assert!(Uri::parse("sip:[]").is_err());
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in [
            "",
            "sip",
            "sip:",
            ":x",
            "sip:@host",
            "sip::password@host",
            "sip:a@b@c",
            "sip:alice@",
            "sip:alice@-host",
            "sip:alice@host..com",
            "sip:alice@host.123",
            "sip:alice@1host",
            "sip:alice@256.1.1.1",
            "sip:alice@host:65536",
            "sip:alice@host:",
            "sip:alice@host:5060x",
            "sip:alice@host;",
            "sip:alice@host;=x",
            "sip:alice@host;transport=",
            "sip:alice@host;transport=tcp;Transport=udp",
            "sip:alice@host;lr;%6c%72",
            "sip:alice@host;a=b=c",
            "sip:alice@host?",
            "sip:alice@host?subject",
            "sip:alice@host?=x",
            "sip:alice@host?a=b&",
            "sip:ali ce@host",
            "sip:user@example.com; lr",
            "sip:ali%zzce@host",
            "sip:alice%4@host",
            "sip:al\u{e9}x@host",
            "sip:al\"x@host",
            "sip:al#x@host",
            "<sip:user@example.com>",
            "1x:y",
            "http:",
            "http://a b",
            "tel:",
            "tel:+",
            "tel:+abc",
            "tel:7042",
            "tel:--;phone-context=x",
            "tel:7042;phone-context",
        ] {
            let error = Uri::parse(text).unwrap_err();
            assert_eq!(error.place, Place::Uri, "{text}");
        }
    }

    #[test]
    fn parameters_are_bounded() {
        let many = |count: usize| {
            let params: String = (0..count).map(|n| alloc::format!(";p{n}")).collect();
            alloc::format!("sip:host{params}")
        };
        assert!(Uri::parse(&many(MAX_PARAMS)).is_ok());
        assert!(Uri::parse(&many(MAX_PARAMS + 1)).is_err());
    }

    // RFC 3966 section 3 and RFC 4475 sections 3.3.2, 3.3.3 and 3.3.4.
    #[test]
    fn other_schemes() {
        for text in [
            "tel:+1-201-555-0123",
            "tel:7042;phone-context=example.com",
            "tel:863-1234;phone-context=+1-914-555",
            "tel:+14085264000;ext=88463",
            "nobodyKnowsThisScheme:totallyopaquecontent",
            "soap.beep://192.0.2.103:3002",
            "isbn:2983792873",
            "http://www.example.com/sounds/moo.wav",
            "urn:service:sos",
            "http://[2001:db8::1]/a?b=c",
        ] {
            let uri = Uri::parse(text).unwrap();
            assert_eq!(uri.to_string(), text);
            assert!(uri.as_sip().is_none());
        }
        let Ok(Uri::Tel(tel)) = Uri::parse("tel:+1-201-555-0123") else {
            panic!()
        };
        assert!(tel.is_global());
        assert_eq!(tel.digits().collect::<String>(), "+12015550123");
    }

    #[test]
    fn schemes_in_any_case() {
        assert_eq!(Uri::parse("SIP:recipient@example.com").unwrap().scheme(), "sip");
        assert_eq!(Uri::parse("SipS:h.example.com").unwrap().scheme(), "sips");
    }

    #[test]
    fn parameters_of_a_gruu() {
        let uri = sip("sip:ada@example.com;opaque=user:epid:qIIWS2j5AVeD_HxnQdxmlwAA;gruu");
        assert_eq!(uri.opaque(), Some("user:epid:qIIWS2j5AVeD_HxnQdxmlwAA"));
        assert!(uri.is_gruu());
        assert_eq!(uri.gr(), None);
        let uri = sip("sip:callee@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
        assert_eq!(uri.gr(), Some("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"));
        assert_eq!(sip("sip:tgruu.7hs==@example.com;gr").gr(), Some(""));
    }

    #[test]
    fn a_uri_of_ones_own_is_escaped() {
        let mut uri = SipUri::new(Some("al:ice@\u{e9}\r\n"), Host::Name("example.com".into()));
        uri.params.set("x", "a;b");
        uri.params.set_flag("lr");
        uri.params.set("X", "c d");
        uri.headers.add("Subject", "a&b");
        assert_eq!(
            uri.to_string(),
            "sip:al%3Aice%40%C3%A9%0D%0A@example.com;x=c%20d;lr?Subject=a%26b"
        );
        assert!(uri.params.remove("X"));
        assert!(!uri.params.remove("X"));
        assert_eq!(uri.params.as_str(), ";lr");
    }

    #[test]
    fn hosts() {
        let name = |text| Host::parse(text).unwrap();
        assert!(name("Example.COM.").same(&name("example.com")));
        assert!(!name("example.com").same(&name("192.0.2.1")));
        assert_eq!(name("192.0.2.001"), Host::V4(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(name("::1"), name("[::1]"));
        assert_eq!(name("a_b.example.com"), Host::Name("a_b.example.com".into()));
        assert_eq!(name("a").ip(), None);
        for text in ["", ".", "a b", "1.2.3", "1.2.3.4.5", "a.-b", "::1::", "[1.2.3.4]"] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
    }
}
