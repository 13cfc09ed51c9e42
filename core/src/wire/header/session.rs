//! Fields about sessions: their timers, replacement, and the reason of their end.

use alloc::borrow::Cow;
use alloc::string::String;

use nom::Parser;

use super::media::word_and_params;
use super::{Header, ListHeader, Params};
use crate::error::ParseError;
use crate::wire::HeaderName;
use crate::wire::grammar::{self, Parsed, bad, number};
use crate::wire::uri::push_number;

/// Who refreshes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refresher {
    /// The side that sent the request.
    Uac,
    /// The side that answered.
    Uas,
}

/// A number of seconds with parameters.
fn seconds(input: &str) -> Parsed<'_, (u32, Params<'_>)> {
    let (rest, value) = number(u64::from(u32::MAX)).parse(input)?;
    let (rest, params) = grammar::params(rest)?;
    match u32::try_from(value) {
        Ok(value) => Ok((rest, (value, params))),
        Err(_) => bad("number out of range"),
    }
}

fn write_seconds(seconds: u32, params: &Params<'_>, out: &mut String) {
    push_number(out, u64::from(seconds));
    params.write(out);
}

/// How long a session lasts without a refresh (RFC 4028 section 4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionExpires<'a> {
    /// The interval in seconds.
    pub seconds: u32,
    /// The parameters; [`SessionExpires::refresher`] is one.
    pub params: Params<'a>,
}

impl<'a> SessionExpires<'a> {
    /// A value.
    pub fn new(seconds: u32, refresher: Option<Refresher>) -> Self {
        let params = match refresher {
            None => Params::new(),
            Some(Refresher::Uac) => Params::new().with("refresher", "uac"),
            Some(Refresher::Uas) => Params::new().with("refresher", "uas"),
        };
        Self { seconds, params }
    }

    /// Who refreshes.
    pub fn refresher(&self) -> Option<Refresher> {
        let text = self.params.token("refresher")?;
        if text.eq_ignore_ascii_case("uac") {
            Some(Refresher::Uac)
        } else if text.eq_ignore_ascii_case("uas") {
            Some(Refresher::Uas)
        } else {
            None
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> SessionExpires<'static> {
        SessionExpires {
            seconds: self.seconds,
            params: self.params.into_owned(),
        }
    }
}

impl<'a> Header<'a> for SessionExpires<'a> {
    const NAME: HeaderName = HeaderName::SessionExpires;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        let (seconds, params) =
            grammar::whole(seconds, value).map_err(|what| ParseError::header(Self::NAME, what))?;
        let value = Self { seconds, params };
        if value.params.contains("refresher") && value.refresher().is_none() {
            return Err(ParseError::header(Self::NAME, "refresher must be uac or uas"));
        }
        Ok(value)
    }

    fn write(&self, out: &mut String) {
        write_seconds(self.seconds, &self.params, out);
    }
}

/// The shortest session interval that is taken (RFC 4028 section 5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MinSe<'a> {
    /// The interval in seconds.
    pub seconds: u32,
    /// The parameters.
    pub params: Params<'a>,
}

impl MinSe<'_> {
    /// A value without parameters.
    pub const fn new(seconds: u32) -> Self {
        Self {
            seconds,
            params: Params::new(),
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> MinSe<'static> {
        MinSe {
            seconds: self.seconds,
            params: self.params.into_owned(),
        }
    }
}

impl<'a> Header<'a> for MinSe<'a> {
    const NAME: HeaderName = HeaderName::MinSe;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        grammar::whole(seconds, value)
            .map(|(seconds, params)| Self { seconds, params })
            .map_err(|what| ParseError::header(Self::NAME, what))
    }

    fn write(&self, out: &mut String) {
        write_seconds(self.seconds, &self.params, out);
    }
}

/// The dialog that an INVITE takes the place of (RFC 3891 section 6.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replaces<'a> {
    /// The Call-ID of the dialog.
    pub call_id: Cow<'a, str>,
    /// The parameters, `to-tag` and `from-tag` among them.
    pub params: Params<'a>,
}

impl<'a> Replaces<'a> {
    /// A value from the view of the recipient: `to_tag` is its own.
    pub fn new(call_id: impl Into<Cow<'a, str>>, to_tag: &str, from_tag: &str) -> Self {
        Self {
            call_id: call_id.into(),
            params: Params::new().with("to-tag", to_tag).with("from-tag", from_tag),
        }
    }

    /// The tag of the recipient.
    pub fn to_tag(&self) -> &str {
        self.params.token("to-tag").unwrap_or_default()
    }

    /// The tag of the other side.
    pub fn from_tag(&self) -> &str {
        self.params.token("from-tag").unwrap_or_default()
    }

    /// Whether it holds only for a dialog that is not confirmed yet.
    pub fn early_only(&self) -> bool {
        self.params.contains("early-only")
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Replaces<'static> {
        Replaces {
            call_id: Cow::Owned(self.call_id.into_owned()),
            params: self.params.into_owned(),
        }
    }
}

impl<'a> Header<'a> for Replaces<'a> {
    const NAME: HeaderName = HeaderName::Replaces;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        let value = grammar::trim(value);
        // No character of a Call-ID is a semicolon.
        let (call_id, params) = match value.find(';').and_then(|at| value.split_at_checked(at)) {
            Some((call_id, params)) => (grammar::trim(call_id), params),
            None => (value, ""),
        };
        super::CallId::parse(call_id).map_err(|error| ParseError::header(Self::NAME, error.what))?;
        let params =
            grammar::whole(grammar::params, params).map_err(|what| ParseError::header(Self::NAME, what))?;
        let has_tag = |name| params.token(name).is_some_and(grammar::is_token);
        if !has_tag("to-tag") || !has_tag("from-tag") {
            return Err(ParseError::header(Self::NAME, "to-tag and from-tag expected"));
        }
        Ok(Self {
            call_id: Cow::Borrowed(call_id),
            params,
        })
    }

    fn write(&self, out: &mut String) {
        out.push_str(&self.call_id);
        self.params.write(out);
    }
}

word_and_params! {
    /// Why a request was sent or an INVITE answered so (RFC 3326 section 2).
    Reason {
        /// `SIP`, `Q.850`, or another token, as written.
        protocol
    }: Reason, |_| true, ListHeader;
}

impl Reason<'_> {
    /// The number of the cause: a status code for protocol `SIP`.
    pub fn cause(&self) -> Option<u32> {
        grammar::decimal_u32(self.params.token("cause")?)
    }

    /// Words for people.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        self.params.get("text")
    }
}

#[cfg(test)]
mod tests {
    use super::super::to_string;
    use super::*;

    // RFC 4028 sections 4 and 5.
    #[test]
    fn session_timers() {
        let value = SessionExpires::parse("4000;refresher=UAC").unwrap();
        assert_eq!((value.seconds, value.refresher()), (4000, Some(Refresher::Uac)));
        assert_eq!(
            to_string(&SessionExpires::new(1800, Some(Refresher::Uas))),
            "1800;refresher=uas"
        );
        for text in ["", "x", "4000;refresher=me", "4000;refresher", "4294967296"] {
            assert!(SessionExpires::parse(text).is_err(), "{text}");
        }
        assert_eq!(MinSe::parse("3600;lr").unwrap().seconds, 3600);
        assert_eq!(to_string(&MinSe::new(90)), "90");
        assert!(MinSe::parse("90 s").is_err());
    }

    // RFC 3891 section 6.1.
    #[test]
    fn replaced_dialogs() {
        let value = Replaces::parse("98732@sip.example.com ;from-tag=r33th4x0r  ;to-tag=ff87ff").unwrap();
        assert_eq!(
            (
                value.call_id.as_ref(),
                value.to_tag(),
                value.from_tag(),
                value.early_only()
            ),
            ("98732@sip.example.com", "ff87ff", "r33th4x0r", false)
        );
        assert!(
            Replaces::parse("a;to-tag=1;from-tag=2;early-only")
                .unwrap()
                .early_only()
        );
        for text in [
            "",
            "a",
            "a;to-tag=1",
            "a;from-tag=1",
            "a;to-tag=1;to-tag=2;from-tag=3",
            "a b;to-tag=1;from-tag=2",
        ] {
            assert!(Replaces::parse(text).is_err(), "{text}");
        }
    }

    // RFC 3326 section 2.
    #[test]
    fn reasons() {
        let text = "SIP ;cause=200 ;text=\"Call completed elsewhere\", Q.850 ;cause=16";
        let list: alloc::vec::Vec<_> = Reason::parse_list(text).map(Result::unwrap).collect();
        assert_eq!(
            (list[0].cause(), list[0].text().as_deref()),
            (Some(200), Some("Call completed elsewhere"))
        );
        assert_eq!((list[1].protocol.as_ref(), list[1].cause()), ("Q.850", Some(16)));
        assert!(Reason::parse("SIP cause=200").is_err());
    }
}
