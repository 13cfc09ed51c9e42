//! Fields that name an address: `From`, `To`, `Contact`, the routes, and identities.

use alloc::borrow::Cow;
use alloc::string::String;
use core::ops::{Deref, DerefMut};

use super::{Header, ListHeader, Params};
use crate::error::ParseError;
use crate::wire::HeaderName;
use crate::wire::grammar::{self, Parsed, bad, reason};
use crate::wire::uri::Uri;

/// An address with its parameters (`( name-addr / addr-spec ) *( SEMI generic-param )`, RFC 3261 section 20.10).
///
/// Without angle brackets every parameter belongs to the address, not to the URI. It is always written with them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameAddr<'a> {
    /// The display name without quotes and escapes.
    pub display: Option<Cow<'a, str>>,
    /// The URI.
    pub uri: Uri<'a>,
    /// The parameters of the field value.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// An address of a URI alone.
    pub const fn new(uri: Uri<'a>) -> Self {
        Self {
            display: None,
            uri,
            params: Params::new(),
        }
    }

    /// The address with a display name.
    #[must_use]
    pub fn with_display(mut self, display: impl Into<Cow<'a, str>>) -> Self {
        self.display = Some(display.into());
        self
    }

    /// The address with a parameter.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: &str) -> Self {
        self.params.set(name, value);
        self
    }

    /// Reads an address; `see` is shown each parameter of the field value.
    #[inline]
    fn read_seen(value: &'a str, see: impl FnMut(&'a str, Option<&'a str>)) -> Result<Self, &'static str> {
        let (input, (display, uri)) = reason(address(grammar::trim(value)))?;
        let uri = Uri::read(uri)?;
        let (input, params) = reason(grammar::params_seen(input, see))?;
        if !input.is_empty() {
            return Err("unexpected text after the value");
        }
        Ok(Self { display, uri, params })
    }

    fn read(value: &'a str) -> Result<Self, &'static str> {
        Self::read_seen(value, |_, _| ())
    }

    /// The same for routes, which must have the angle brackets. Where a peer forgets them, all it wrote is the URI: no
    /// parameter is defined for a route, but `lr` is for its URI.
    fn read_route(value: &'a str) -> Result<Self, &'static str> {
        let bare = grammar::trim(value);
        if bare.contains('<') {
            Self::read(bare)
        } else {
            Uri::read(bare).map(Self::new)
        }
    }

    /// Appends the address.
    pub fn write(&self, out: &mut String) {
        if let Some(display) = &self.display {
            grammar::write_quoted(out, display);
            out.push(' ');
        }
        out.push('<');
        self.uri.write(out);
        out.push('>');
        self.params.write(out);
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> NameAddr<'static> {
        NameAddr {
            display: self.display.map(|display| Cow::Owned(display.into_owned())),
            uri: self.uri.into_owned(),
            params: self.params.into_owned(),
        }
    }
}

/// A display name and the text of a URI.
#[inline]
fn address(input: &str) -> Parsed<'_, (Option<Cow<'_, str>>, &str)> {
    if input.starts_with('<') {
        let (rest, uri) = grammar::bracketed(input)?;
        return Ok((rest, (None, uri)));
    }
    if input.starts_with('"') {
        let (rest, display) = grammar::quoted(input)?;
        let (rest, _) = grammar::blanks(rest)?;
        let (rest, uri) = grammar::bracketed(rest)?;
        return Ok((rest, (Some(display), uri)));
    }
    if let Ok((rest, display)) = grammar::tokens(input)
        && rest.starts_with('<')
    {
        let (rest, uri) = grammar::bracketed(rest)?;
        return Ok((rest, (Some(Cow::Borrowed(display)), uri)));
    }
    let end = input
        .find([';', ',', ' ', '\t', '<', '>', '"'])
        .unwrap_or(input.len());
    match input.split_at_checked(end) {
        Some((uri, _)) if uri.contains('?') => bad("a URI with headers must be in angle brackets"),
        Some((uri, rest)) => Ok((rest, (None, uri))),
        None => bad("address expected"),
    }
}

/// The URI of an address and its parameter of this name, both as they stand in `value`, cut where [`NameAddr`] cuts them:
/// for signatures, where every letter counts.
pub(crate) fn written<'a>(value: &'a str, param: &str) -> Result<(&'a str, Option<&'a str>), &'static str> {
    let (input, (_, uri)) = reason(address(grammar::trim(value)))?;
    let mut found = None;
    let see = |name: &str, value| {
        if name.eq_ignore_ascii_case(param) {
            found = value;
        }
    };
    match reason(grammar::params_seen(input, see))? {
        ("", _) => Ok((uri, found)),
        _ => Err("unexpected text after the value"),
    }
}

macro_rules! address_fields {
    ($($(#[$doc:meta])* $type:ident: $name:ident, $read:expr, $($list:ident)?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            pub struct $type<'a>(pub NameAddr<'a>);

            impl<'a> $type<'a> {
                /// The value for a URI, without a display name or parameters.
                pub const fn new(uri: Uri<'a>) -> Self {
                    Self(NameAddr::new(uri))
                }

                /// A copy that borrows nothing.
                pub fn into_owned(self) -> $type<'static> {
                    $type(self.0.into_owned())
                }
            }

            impl<'a> Header<'a> for $type<'a> {
                const NAME: HeaderName = HeaderName::$name;

                fn parse(value: &'a str) -> Result<Self, ParseError> {
                    let read: fn(&'a str) -> Result<NameAddr<'a>, &'static str> = $read;
                    read(value).map(Self).map_err(|what| ParseError::header(Self::NAME, what))
                }

                fn write(&self, out: &mut String) {
                    self.0.write(out);
                }
            }

            impl<'a> Deref for $type<'a> {
                type Target = NameAddr<'a>;

                fn deref(&self) -> &Self::Target {
                    &self.0
                }
            }

            impl DerefMut for $type<'_> {
                fn deref_mut(&mut self) -> &mut Self::Target {
                    &mut self.0
                }
            }

            $(impl<'a> $list<'a> for $type<'a> {})?
        )*
    };
}

/// The same where the value of a `tag` must be a token.
fn read_tagged(value: &str) -> Result<NameAddr<'_>, &'static str> {
    let mut good = true;
    let address = NameAddr::read_seen(value, |name, value| {
        if name.len() == 3 && name.eq_ignore_ascii_case("tag") {
            good = value.is_some_and(grammar::is_token);
        }
    })?;
    if good { Ok(address) } else { Err("bad tag") }
}

address_fields! {
    /// Who sends a request (RFC 3261 section 20.20). A peer of RFC 2543 may send no tag.
    From: From, read_tagged, ;
    /// To whom a request is meant to go (RFC 3261 section 20.39).
    To: To, read_tagged, ;
    /// Where requests of the dialog have to pass (RFC 3261 section 20.34).
    Route: Route, NameAddr::read_route, ListHeader;
    /// A proxy that stays on the path of the dialog (RFC 3261 section 20.30).
    RecordRoute: RecordRoute, NameAddr::read_route, ListHeader;
    /// A proxy between a user agent and its registrar (RFC 3327 section 4).
    Path: Path, NameAddr::read_route, ListHeader;
    /// Where a registered user agent's requests have to pass (RFC 3608 section 5).
    ServiceRoute: ServiceRoute, NameAddr::read_route, ListHeader;
    /// Whom to contact (RFC 3515 section 2.1).
    ReferTo: ReferTo, NameAddr::read, ;
    /// Who asked for it (RFC 3892 section 3).
    ReferredBy: ReferredBy, NameAddr::read, ;
    /// Where an answer should go if not to `From` (RFC 3261 section 20.31).
    ReplyTo: ReplyTo, NameAddr::read, ;
    /// Who it is, as the network vouches (RFC 3325 section 9.1).
    PAssertedIdentity: PAssertedIdentity, NameAddr::read, ListHeader;
    /// Which of its identities a user wants asserted (RFC 3325 section 9.2).
    PPreferredIdentity: PPreferredIdentity, NameAddr::read, ListHeader;
}

impl From<'_> {
    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.params.token("tag")
    }

    /// The endpoint id (Microsoft's `epid`).
    pub fn epid(&self) -> Option<Cow<'_, str>> {
        self.params.get("epid")
    }
}

impl To<'_> {
    /// The tag; none outside a dialog.
    pub fn tag(&self) -> Option<&str> {
        self.params.token("tag")
    }

    /// The endpoint id (Microsoft's `epid`).
    pub fn epid(&self) -> Option<Cow<'_, str>> {
        self.params.get("epid")
    }
}

/// Where a user agent can be reached (RFC 3261 section 20.10).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Contact<'a> {
    /// `*`, all contacts, in a REGISTER that removes them.
    Star,
    /// One address.
    Address(NameAddr<'a>),
}

/// What RFC 3261 section 10.2.1.1 puts in the place of an `expires` that cannot be read, in seconds.
const MALFORMED_EXPIRES: u32 = 3600;

impl<'a> Contact<'a> {
    /// A contact without a display name or parameters.
    pub const fn new(uri: Uri<'a>) -> Self {
        Self::Address(NameAddr::new(uri))
    }

    /// The address, unless it is `*`.
    pub const fn address(&self) -> Option<&NameAddr<'a>> {
        match self {
            Self::Star => None,
            Self::Address(address) => Some(address),
        }
    }

    /// The URI, unless it is `*`.
    pub fn uri(&self) -> Option<&Uri<'a>> {
        self.address().map(|address| &address.uri)
    }

    fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        self.address()?.params.get(name)
    }

    /// How long it holds, in seconds. A value that is no 32-bit number counts as an hour (RFC 3261 section 10.2.1.1).
    pub fn expires(&self) -> Option<u32> {
        let text = self.param("expires")?;
        Some(grammar::decimal_u32(&text).unwrap_or(MALFORMED_EXPIRES))
    }

    /// The preference in thousandths, 0 to 1000; `None` also for a malformed one.
    pub fn q(&self) -> Option<u16> {
        qvalue(&self.param("q")?)
    }

    /// `pub-gruu` (RFC 5627 section 4.2).
    pub fn pub_gruu(&self) -> Option<Cow<'_, str>> {
        self.param("pub-gruu")
    }

    /// `temp-gruu` (RFC 5627 section 4.2).
    pub fn temp_gruu(&self) -> Option<Cow<'_, str>> {
        self.param("temp-gruu")
    }

    /// `gruu`, as Microsoft's servers return it.
    pub fn gruu(&self) -> Option<Cow<'_, str>> {
        self.param("gruu")
    }

    /// `+sip.instance`, its angle brackets included (RFC 5626 section 4.1).
    pub fn instance(&self) -> Option<Cow<'_, str>> {
        self.param("+sip.instance")
    }

    /// `reg-id` (RFC 5626 section 4.2).
    pub fn reg_id(&self) -> Option<u32> {
        grammar::decimal_u32(&self.param("reg-id")?)
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Contact<'static> {
        match self {
            Self::Star => Contact::Star,
            Self::Address(address) => Contact::Address(address.into_owned()),
        }
    }
}

/// `qvalue` (RFC 3261 section 25.1) in thousandths.
pub(super) fn qvalue(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !matches!(whole, "0" | "1") {
        return None;
    }
    let mut value = 0u16;
    for digit in fraction.bytes().chain(core::iter::repeat(b'0')).take(3) {
        value = value * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    match (whole, value) {
        ("0", _) => Some(value),
        (_, 0) => Some(1000),
        _ => None,
    }
}

impl<'a> Header<'a> for Contact<'a> {
    const NAME: HeaderName = HeaderName::Contact;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        if grammar::trim(value) == "*" {
            return Ok(Self::Star);
        }
        NameAddr::read(value)
            .map(Self::Address)
            .map_err(|what| ParseError::header(Self::NAME, what))
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Star => out.push('*'),
            Self::Address(address) => address.write(out),
        }
    }
}

impl<'a> ListHeader<'a> for Contact<'a> {}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::to_string;
    use super::*;
    use crate::wire::uri::{Host, SipUri};

    // RFC 4475 sections 3.1.1.1, 3.1.1.2, 3.1.1.5 and 3.1.1.6.
    #[test]
    fn display_names() {
        let from =
            From::parse("\"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>    ;    tag = 98asjd8")
                .unwrap();
        assert_eq!(from.display.as_deref(), Some("J Rosenberg \\\""));
        assert_eq!(from.tag(), Some("98asjd8"));
        let to =
            To::parse("\"BEL:\\\u{7} NUL:\\\u{0} DEL:\\\u{7f}\" <sip:1_unusual.URI~@example.com>").unwrap();
        assert_eq!(to.display.as_deref(), Some("BEL:\u{7} NUL:\u{0} DEL:\u{7f}"));
        let text = "token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;\
                    fromParam''~+*_!.-%=\"\u{440}\u{430}\u{431}\";tag=_token~1'+`*%!-.";
        let from = From::parse(text).unwrap();
        assert_eq!(from.display.as_deref(), Some("token1~` token2'+_ token3*%!.-"));
        assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
        assert_eq!(
            from.params.get("fromparam''~+*_!.-%").as_deref(),
            Some("\u{440}\u{430}\u{431}")
        );
        assert_eq!(
            To::parse("\"%Z%45\" <sip:resource@example.com>")
                .unwrap()
                .display
                .as_deref(),
            Some("%Z%45")
        );
        let from = From::parse("caller<sip:caller@example.com>;tag=323").unwrap();
        assert_eq!(from.display.as_deref(), Some("caller"));
        assert_eq!(to_string(&from), "\"caller\" <sip:caller@example.com>;tag=323");
    }

    // RFC 4475 sections 3.3.16 and 3.3.17, RFC 3261 section 20.10.
    #[test]
    fn without_brackets_all_parameters_are_of_the_address() {
        let contact = Contact::parse("sip:+19725552222@gw1.example.net;unknownparam").unwrap();
        let address = contact.address().unwrap();
        assert!(address.params.contains("unknownparam"));
        assert!(address.uri.as_sip().unwrap().params.is_empty());
        let contact = Contact::parse("<sip:+19725552222@gw1.example.net;unknownparam>").unwrap();
        let address = contact.address().unwrap();
        assert!(address.params.is_empty());
        assert!(address.uri.as_sip().unwrap().params.contains("unknownparam"));
        assert_eq!(
            to_string(&From::parse("sip:a@b.c;tag=1").unwrap()),
            "<sip:a@b.c>;tag=1"
        );
    }

    #[test]
    fn a_list_is_cut_at_the_right_commas() {
        let text =
            "\"a, \\\"b\" <sip:a,b@host;x=y>;q=0.5 , <sip:c@host?a=b>;+sip.instance=\"<urn:x,y>\",sip:d@host";
        let contacts: Vec<_> = Contact::parse_list(text).map(Result::unwrap).collect();
        assert_eq!(contacts.len(), 3);
        assert_eq!(contacts[0].address().unwrap().display.as_deref(), Some("a, \"b"));
        assert_eq!(contacts[0].q(), Some(500));
        assert_eq!(contacts[1].instance().as_deref(), Some("<urn:x,y>"));
        assert_eq!(Contact::parse_list("*").collect::<Vec<_>>(), [Ok(Contact::Star)]);
    }

    // RFC 4475 sections 3.1.2.1, 3.1.2.6, 3.1.2.14 and 3.1.2.15 among others.
    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "\"Mr. J. User <sip:j.user@example.com>",
            "\"Watson, Thomas\" < sip:t.watson@example.org >",
            "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            "<sip:a@b.c",
            "sip:a@b.c>",
            "<>",
            "<sip:a@b.c>x",
            "<sip:a@b.c>;",
            "<sip:a@b.c>;;x",
            "<sip:a@b.c>;x=",
            "<sip:a@b.c>;x=\"",
            "<sip:a@b.c>;x=y z",
            "<sip:a@b.c>;x;X",
            "<sip:a@b.c>, <sip:d@e.f>",
            "caf\u{e9} <sip:a@b.c>",
            "\"a\\\u{e9}\" <sip:a@b.c>",
            "\"a\u{7}\" <sip:a@b.c>",
            "alice@atlanta.com",
        ] {
            assert!(To::parse(text).is_err(), "{text:?}");
            assert!(Contact::parse(text).is_err(), "{text:?}");
        }
        for text in [
            "<sip:a@b.c>;tag",
            "<sip:a@b.c>;tag=\"x\"",
            "<sip:a@b.c>;tag=[::1]",
            "*",
        ] {
            assert_eq!(
                From::parse(text).unwrap_err().place,
                crate::error::Place::Header(HeaderName::From)
            );
        }
    }

    #[test]
    fn parameters_are_bounded() {
        let many = |count: usize| {
            let params: String = (0..count).map(|n| alloc::format!(";p{n}")).collect();
            alloc::format!("<sip:a@b.c>{params}")
        };
        assert!(To::parse(&many(grammar::MAX_PARAMS)).is_ok());
        assert!(To::parse(&many(grammar::MAX_PARAMS + 1)).is_err());
    }

    #[test]
    fn parameters_of_contacts() {
        let text = "<sip:10.1.2.3:49152;transport=tls>;expires=7200;+sip.instance=\"<urn:uuid:4b1682a8>\";\
                    gruu=\"sip:ada@example.com;opaque=user:epid:qII;gruu\";reg-id=1;\
                    pub-gruu=\"sip:a@b.c;gr=x\";temp-gruu=\"sip:t@b.c;gr\"";
        let contact = Contact::parse(text).unwrap();
        assert_eq!((contact.expires(), contact.reg_id()), (Some(7200), Some(1)));
        assert_eq!(
            contact.gruu().as_deref(),
            Some("sip:ada@example.com;opaque=user:epid:qII;gruu")
        );
        assert_eq!(contact.pub_gruu().as_deref(), Some("sip:a@b.c;gr=x"));
        assert_eq!(contact.temp_gruu().as_deref(), Some("sip:t@b.c;gr"));
        assert_eq!(to_string(&contact), text);
        // RFC 3261 section 10.2.1.1: what is malformed counts as an hour.
        for malformed in ["99999999999", "soon", "\"\""] {
            let text = alloc::format!("<sip:a@b.c>;expires={malformed}");
            assert_eq!(Contact::parse(&text).unwrap().expires(), Some(3600));
        }
        assert_eq!(Contact::parse("<sip:a@b.c>").unwrap().expires(), None);
        assert_eq!(Contact::Star.q(), None);
    }

    // RFC 3261 section 25.1, qvalue.
    #[test]
    fn preferences() {
        for (text, value) in [
            ("0", 0),
            ("1", 1000),
            ("0.", 0),
            ("1.", 1000),
            ("0.5", 500),
            ("0.33", 330),
            ("0.001", 1),
            ("1.000", 1000),
        ] {
            assert_eq!(qvalue(text), Some(value), "{text}");
        }
        for text in ["", "2", "1.1", "0.0001", "-0", ".5", "0.x", "00", "1.0000"] {
            assert_eq!(qvalue(text), None, "{text}");
        }
    }

    #[test]
    fn routes() {
        let text = "<sip:services.example.com;lr;unknownwith=value;unknown-no-value>,<sips:p2.example.com;lr>;tag=2A0C";
        let routes: Vec<_> = Route::parse_list(text).map(Result::unwrap).collect();
        assert_eq!(routes.len(), 2);
        assert!(routes.iter().all(|route| route.uri.as_sip().unwrap().lr()));
        // RFC 4028 section 10 forgets the brackets in its own examples.
        let bare = RecordRoute::parse("sips:p1.atlanta.example.com;lr").unwrap();
        assert_eq!(to_string(&bare), "<sips:p1.atlanta.example.com;lr>");
        assert!(Route::parse("sips:p1.atlanta.example.com ;lr").is_err());
        assert!(Route::parse("").is_err());
        let own = Route::new(Uri::Sip(SipUri::new(None, Host::Name("p.example.com".into()))));
        assert_eq!(to_string(&own), "<sip:p.example.com>");
    }

    #[test]
    fn identities_of_microsofts_servers() {
        let text = "\"bob\"<SIP:bob@example.com>,<tel:+14255550100;ext=88463>";
        let list: Vec<_> = PAssertedIdentity::parse_list(text).map(Result::unwrap).collect();
        assert_eq!(list[0].display.as_deref(), Some("bob"));
        assert_eq!(list[1].uri.scheme(), "tel");
        assert!(PAssertedIdentity::parse("<nothing>").is_err());
        assert!(PPreferredIdentity::parse("tel:+1").is_ok());
        assert!(PPreferredIdentity::parse("tel:1").is_err());
    }

    #[test]
    fn a_good_and_a_bad_one_of_each_other() {
        assert_eq!(
            ReferTo::parse("<sip:dave@denver.example.org?Replaces=12345%40192.168.118.3>")
                .unwrap()
                .uri
                .scheme(),
            "sip"
        );
        assert!(ReferTo::parse("<sip:dave@denver.example.org?Replaces>").is_err());
        assert!(ReferredBy::parse("<sip:a@b.c>;cid=\"2UWQFN309shb3@referrer.example\"").is_ok());
        assert!(ReferredBy::parse("<alice@atlanta.example.com>").is_err());
        assert!(ReplyTo::parse("Bob <sip:bob@biloxi.com>").is_ok());
        assert!(ReplyTo::parse("Bob").is_err());
        assert!(Path::parse("<sip:P3.EXAMPLEHOME.COM;lr>").is_ok());
        assert!(Path::parse("P3").is_err());
        assert!(ServiceRoute::parse("<sip:P2.HOME.EXAMPLE.COM;lr>").is_ok());
        assert!(ServiceRoute::parse("<sip:>").is_err());
        assert_eq!(
            From::parse("<sip:ada@example.com>;tag=4f1c0a77b2;epid=01010101")
                .unwrap()
                .epid()
                .as_deref(),
            Some("01010101")
        );
    }
}
