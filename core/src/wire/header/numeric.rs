//! Fields that are numbers, or begin with one.

use alloc::borrow::Cow;
use alloc::string::String;

use nom::Parser;
use nom::character::complete::char;
use nom::combinator::opt;
use nom::sequence::preceded;

use super::{Header, Params};
use crate::error::ParseError;
use crate::wire::grammar::{self, Parsed, bad, blanks, blanks1, expect, number};
use crate::wire::uri::push_number;
use crate::wire::{HeaderName, Method};

/// The sequence number of a request and its method (RFC 3261 section 20.16).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The number, below 2^31 (RFC 3261 section 8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method,
}

/// The highest number that a CSeq may have.
const MAX_CSEQ: u64 = (1 << 31) - 1;

fn method(input: &str) -> Parsed<'_, Method> {
    let (rest, name) = expect("method expected", grammar::token).parse(input)?;
    match Method::parse(name.as_bytes()) {
        Some(method) => Ok((rest, method)),
        None => bad("method expected"),
    }
}

fn u32_number(input: &str) -> Parsed<'_, u32> {
    let (rest, value) = number(u64::from(u32::MAX)).parse(input)?;
    match u32::try_from(value) {
        Ok(value) => Ok((rest, value)),
        Err(_) => bad("number out of range"),
    }
}

impl CSeq {
    /// A value.
    pub const fn new(number: u32, method: Method) -> Self {
        Self { number, method }
    }

    fn parser(input: &str) -> Parsed<'_, Self> {
        let (input, value) = number(MAX_CSEQ).parse(input)?;
        let (input, _) = blanks1(input)?;
        let (input, method) = method(input)?;
        match u32::try_from(value) {
            Ok(number) => Ok((input, Self { number, method })),
            Err(_) => bad("number out of range"),
        }
    }
}

impl<'a> Header<'a> for CSeq {
    const NAME: HeaderName = HeaderName::CSeq;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        grammar::whole(Self::parser, value).map_err(|what| ParseError::header(Self::NAME, what))
    }

    fn write(&self, out: &mut String) {
        push_number(out, u64::from(self.number));
        out.push(' ');
        out.push_str(self.method.as_str());
    }
}

macro_rules! number_fields {
    ($($(#[$doc:meta])* $type:ident($int:ty): $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $type(pub $int);

            impl<'a> Header<'a> for $type {
                const NAME: HeaderName = HeaderName::$name;

                fn parse(value: &'a str) -> Result<Self, ParseError> {
                    grammar::whole(number(u64::from(<$int>::MAX)), value)
                        .and_then(|value| <$int>::try_from(value).map_err(|_| "number out of range"))
                        .map(Self)
                        .map_err(|what| ParseError::header(Self::NAME, what))
                }

                fn write(&self, out: &mut String) {
                    push_number(out, u64::from(self.0));
                }
            }
        )*
    };
}

number_fields! {
    /// How many more hops a request may take, 0 to 255 (RFC 3261 section 20.22).
    MaxForwards(u8): MaxForwards;
    /// Bytes of the body (RFC 3261 section 20.14).
    ContentLength(u32): ContentLength;
    /// How long something holds, in seconds (RFC 3261 section 20.19).
    Expires(u32): Expires;
    /// The shortest time a registrar accepts, in seconds (RFC 3261 section 20.23).
    MinExpires(u32): MinExpires;
    /// The longest silence on a connection that the server stands, in seconds (RFC 5626 section 10).
    FlowTimer(u32): FlowTimer;
}

/// The number of a reliable provisional response, 1 to 2^32 - 1 (RFC 3262 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RSeq(pub u32);

impl<'a> Header<'a> for RSeq {
    const NAME: HeaderName = HeaderName::RSeq;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        match grammar::whole(u32_number, value) {
            Ok(0) => Err(ParseError::header(Self::NAME, "number out of range")),
            Ok(value) => Ok(Self(value)),
            Err(what) => Err(ParseError::header(Self::NAME, what)),
        }
    }

    fn write(&self, out: &mut String) {
        push_number(out, u64::from(self.0));
    }
}

/// Which provisional response a PRACK acknowledges (RFC 3262 section 7.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RAck {
    /// The number of the response ([`RSeq`]).
    pub response: u32,
    /// The number of the request.
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl RAck {
    fn parser(input: &str) -> Parsed<'_, Self> {
        let (input, response) = u32_number(input)?;
        let (input, _) = blanks1(input)?;
        let (input, cseq) = CSeq::parser(input)?;
        Ok((
            input,
            Self {
                response,
                number: cseq.number,
                method: cseq.method,
            },
        ))
    }
}

impl<'a> Header<'a> for RAck {
    const NAME: HeaderName = HeaderName::RAck;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        match grammar::whole(Self::parser, value) {
            Ok(Self { response: 0, .. }) => Err(ParseError::header(Self::NAME, "number out of range")),
            Ok(rack) => Ok(rack),
            Err(what) => Err(ParseError::header(Self::NAME, what)),
        }
    }

    fn write(&self, out: &mut String) {
        push_number(out, u64::from(self.response));
        out.push(' ');
        push_number(out, u64::from(self.number));
        out.push(' ');
        out.push_str(self.method.as_str());
    }
}

/// When to try again (RFC 3261 section 20.33).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RetryAfter<'a> {
    /// After so many seconds.
    pub seconds: u32,
    /// Words for people, in parentheses that belong to it, as written.
    pub comment: Option<Cow<'a, str>>,
    /// Parameters; [`RetryAfter::duration`] is one.
    pub params: Params<'a>,
}

impl<'a> RetryAfter<'a> {
    /// A value without comment or parameters.
    pub const fn new(seconds: u32) -> Self {
        Self {
            seconds,
            comment: None,
            params: Params::new(),
        }
    }

    /// How long the callee can then be reached, in seconds.
    pub fn duration(&self) -> Option<u32> {
        grammar::decimal_u32(self.params.token("duration")?)
    }

    fn parser(input: &'a str) -> Parsed<'a, Self> {
        let (input, seconds) = u32_number(input)?;
        let (after, _) = blanks(input)?;
        let (input, comment) = if after.starts_with('(') {
            let (rest, comment) = grammar::comment(after)?;
            (rest, Some(Cow::Borrowed(comment)))
        } else {
            (input, None)
        };
        let (input, params) = grammar::params(input)?;
        Ok((
            input,
            Self {
                seconds,
                comment,
                params,
            },
        ))
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> RetryAfter<'static> {
        RetryAfter {
            seconds: self.seconds,
            comment: self.comment.map(|comment| Cow::Owned(comment.into_owned())),
            params: self.params.into_owned(),
        }
    }
}

impl<'a> Header<'a> for RetryAfter<'a> {
    const NAME: HeaderName = HeaderName::RetryAfter;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        grammar::whole(Self::parser, value).map_err(|what| ParseError::header(Self::NAME, what))
    }

    fn write(&self, out: &mut String) {
        push_number(out, u64::from(self.seconds));
        if let Some(comment) = &self.comment {
            out.push(' ');
            out.push_str(comment);
        }
        self.params.write(out);
    }
}

/// When a request was sent, and how long its answer was delayed (RFC 3261 section 20.38). The numbers are the sender's
/// own and only come back to it: they stay as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp<'a> {
    /// Seconds, with decimals perhaps.
    pub time: Cow<'a, str>,
    /// Seconds of delay, with decimals perhaps.
    pub delay: Option<Cow<'a, str>>,
}

impl<'a> Timestamp<'a> {
    fn parser(input: &'a str) -> Parsed<'a, Self> {
        let decimals = |input: &'a str| {
            let end = input
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(input.len());
            match input.split_at_checked(end) {
                Some((text, rest)) => Ok((rest, text)),
                None => bad("number expected"),
            }
        };
        let (input, time) = decimals(input)?;
        let (input, delay) = opt(preceded(blanks1, decimals)).parse(input)?;
        let one_point = |text: &str| text.bytes().filter(|byte| *byte == b'.').count() <= 1;
        // 1*(DIGIT) [ "." *(DIGIT) ], and the delay without a first digit too
        if !time.starts_with(|c: char| c.is_ascii_digit()) || !one_point(time) {
            return bad("bad time");
        }
        if !delay.is_none_or(|delay| !delay.is_empty() && one_point(delay)) {
            return bad("bad delay");
        }
        Ok((
            input,
            Self {
                time: Cow::Borrowed(time),
                delay: delay.map(Cow::Borrowed),
            },
        ))
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Timestamp<'static> {
        Timestamp {
            time: Cow::Owned(self.time.into_owned()),
            delay: self.delay.map(|delay| Cow::Owned(delay.into_owned())),
        }
    }
}

impl<'a> Header<'a> for Timestamp<'a> {
    const NAME: HeaderName = HeaderName::Timestamp;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        grammar::whole(Self::parser, value).map_err(|what| ParseError::header(Self::NAME, what))
    }

    fn write(&self, out: &mut String) {
        out.push_str(&self.time);
        if let Some(delay) = &self.delay {
            out.push(' ');
            out.push_str(delay);
        }
    }
}

/// The version of MIME that a body follows (RFC 3261 section 20.24).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MimeVersion {
    /// The number before the point.
    pub major: u32,
    /// The number after it.
    pub minor: u32,
}

impl MimeVersion {
    fn parser(input: &str) -> Parsed<'_, Self> {
        let (input, major) = u32_number(input)?;
        let (input, minor) = preceded(expect("point expected", char('.')), u32_number).parse(input)?;
        Ok((input, Self { major, minor }))
    }
}

impl<'a> Header<'a> for MimeVersion {
    const NAME: HeaderName = HeaderName::MimeVersion;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        grammar::whole(Self::parser, value).map_err(|what| ParseError::header(Self::NAME, what))
    }

    fn write(&self, out: &mut String) {
        push_number(out, u64::from(self.major));
        out.push('.');
        push_number(out, u64::from(self.minor));
    }
}

#[cfg(test)]
mod tests {
    use super::super::to_string;
    use super::*;

    // RFC 4475 sections 3.1.1.1, 3.1.2.4, 3.1.2.5; RFC 3261 section 8.1.1.5.
    #[test]
    fn sequence_numbers() {
        assert_eq!(CSeq::parse("0009  INVITE"), Ok(CSeq::new(9, Method::Invite)));
        assert_eq!(CSeq::parse("0 INVITE").unwrap().number, 0);
        assert_eq!(CSeq::parse("2147483647 BYE").unwrap().number, 2_147_483_647);
        assert_eq!(
            CSeq::parse("139122385 !interesting-Method0123456789_*+`.%indeed'~")
                .unwrap()
                .method
                .as_str(),
            "!interesting-Method0123456789_*+`.%indeed'~"
        );
        for text in [
            "",
            "INVITE",
            "1",
            "1INVITE",
            "-1 INVITE",
            "+1 INVITE",
            "2147483648 INVITE",
            "36893488147419103232 REGISTER",
            "1 INV ITE",
            "1 INV\u{e9}",
            "1 INVITE;x",
            "\u{661} INVITE",
        ] {
            assert!(CSeq::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_numbers() {
        assert_eq!(MaxForwards::parse(" 0068 "), Ok(MaxForwards(68)));
        assert_eq!(MaxForwards::parse("255"), Ok(MaxForwards(255)));
        for text in ["256", "300", "-1", "", "1 2", "0x1"] {
            assert!(MaxForwards::parse(text).is_err(), "{text}");
        }
        assert_eq!(Expires::parse("4294967295"), Ok(Expires(u32::MAX)));
        for text in [
            "4294967296",
            "10000000000000000000000000000000",
            "Thu, 01 Dec 1994 16:00:00 GMT",
        ] {
            assert!(Expires::parse(text).is_err(), "{text}");
            assert!(MinExpires::parse(text).is_err(), "{text}");
            assert!(ContentLength::parse(text).is_err(), "{text}");
            assert!(FlowTimer::parse(text).is_err(), "{text}");
        }
        assert_eq!(MinExpires::parse("60"), Ok(MinExpires(60)));
        assert_eq!(
            ContentLength::parse("0000000000000000349"),
            Ok(ContentLength(349))
        );
        assert_eq!(FlowTimer::parse("120"), Ok(FlowTimer(120)));
    }

    // RFC 3262 section 7.
    #[test]
    fn reliable_provisional_responses() {
        assert_eq!(RSeq::parse("988789"), Ok(RSeq(988_789)));
        assert_eq!(
            RAck::parse("776656 1 INVITE"),
            Ok(RAck {
                response: 776_656,
                number: 1,
                method: Method::Invite
            })
        );
        for text in ["0", "4294967296", "", "1 2"] {
            assert!(RSeq::parse(text).is_err(), "{text}");
        }
        for text in [
            "0 1 INVITE",
            "1 INVITE",
            "1 2147483648 INVITE",
            "1 1",
            "1 1 INVITE x",
        ] {
            assert!(RAck::parse(text).is_err(), "{text}");
        }
    }

    // RFC 3261 section 20.33.
    #[test]
    fn when_to_try_again() {
        let value = RetryAfter::parse("18000;duration=3600").unwrap();
        assert_eq!((value.seconds, value.duration()), (18_000, Some(3600)));
        let value = RetryAfter::parse("120 (I'm in a (long) meeting)").unwrap();
        assert_eq!(value.comment.as_deref(), Some("(I'm in a (long) meeting)"));
        assert_eq!(to_string(&value), "120 (I'm in a (long) meeting)");
        assert_eq!(to_string(&RetryAfter::new(5)), "5");
        for text in [
            "",
            "949302838503028349304023988",
            "5 (",
            "5 (a))",
            "5 x",
            "soon",
            "5 (\\)",
            "5 (a\u{1})",
        ] {
            assert!(RetryAfter::parse(text).is_err(), "{text}");
        }
        let deep = |depth: usize| alloc::format!("1 {}{}", "(".repeat(depth), ")".repeat(depth));
        assert!(RetryAfter::parse(&deep(16)).is_ok());
        assert!(RetryAfter::parse(&deep(17)).is_err());
    }

    // RFC 3261 section 20.38.
    #[test]
    fn timestamps() {
        for text in ["54", "54.21", "54. .5", "54.21 1.2"] {
            assert_eq!(to_string(&Timestamp::parse(text).unwrap()), text);
        }
        for text in ["", ".5", "1.2.3", "1 ", "x", "1 2 3", "1 1.2.3", "-1"] {
            let parsed = Timestamp::parse(text);
            assert_eq!(parsed.is_ok(), text == "1 ", "{text}");
        }
    }

    #[test]
    fn versions_of_mime() {
        assert_eq!(MimeVersion::parse("1.0"), Ok(MimeVersion { major: 1, minor: 0 }));
        for text in ["1", "1.", ".0", "1.0.0", ""] {
            assert!(MimeVersion::parse(text).is_err(), "{text}");
        }
    }
}
