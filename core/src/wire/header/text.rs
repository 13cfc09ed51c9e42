//! Fields for people: text, dates, warnings, and links.

use alloc::borrow::Cow;
use alloc::string::String;

use nom::Parser;
use nom::character::complete::char;

use super::{Header, ListHeader, Params};
use crate::error::ParseError;
use crate::wire::HeaderName;
use crate::wire::grammar::{self, Parsed, bad, blanks, blanks1, expect};
use crate::wire::uri::Uri;

/// Text without control characters, which may be empty.
fn any_text(value: &str) -> Result<&str, &'static str> {
    let value = grammar::trim(value);
    if value.chars().all(grammar::is_text_char) {
        Ok(value)
    } else {
        Err("control character")
    }
}

/// The same, with something in it.
fn some_text(value: &str) -> Result<&str, &'static str> {
    any_text(value).and_then(|text| {
        if text.is_empty() {
            Err("text expected")
        } else {
            Ok(text)
        }
    })
}

macro_rules! text_fields {
    ($($(#[$doc:meta])* $type:ident: $name:ident, $read:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            pub struct $type<'a>(Cow<'a, str>);

            impl<'a> $type<'a> {
                /// A value of one's own.
                ///
                /// # Errors
                /// Text with control characters (a line break is one), or with nothing in it where something must be.
                pub fn new(text: impl Into<Cow<'a, str>>) -> Result<Self, ParseError> {
                    let text = text.into();
                    let trimmed = $read(&text).map_err(|what| ParseError::header(HeaderName::$name, what))?;
                    Ok(Self(if trimmed.len() == text.len() { text } else { Cow::Owned(trimmed.into()) }))
                }

                /// The text.
                pub fn as_str(&self) -> &str {
                    &self.0
                }

                /// A copy that borrows nothing.
                pub fn into_owned(self) -> $type<'static> {
                    $type(Cow::Owned(self.0.into_owned()))
                }
            }

            impl<'a> Header<'a> for $type<'a> {
                const NAME: HeaderName = HeaderName::$name;

                fn parse(value: &'a str) -> Result<Self, ParseError> {
                    Self::new(value)
                }

                fn write(&self, out: &mut String) {
                    out.push_str(&self.0);
                }
            }
        )*
    };
}

text_fields! {
    /// What a call is about (RFC 3261 section 20.36).
    Subject: Subject, any_text;
    /// Whose user it is (RFC 3261 section 20.25).
    Organization: Organization, any_text;
    /// The software of a user agent (RFC 3261 section 20.41).
    UserAgent: UserAgent, some_text;
    /// The software of a server (RFC 3261 section 20.35).
    Server: Server, some_text;
}

/// A warning about a status (RFC 3261 section 20.43).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Warning<'a> {
    /// Three digits, 300 to 399 for what RFC 3261 lists.
    pub code: u16,
    /// Who warns: a host with a port or without, or a token.
    pub agent: Cow<'a, str>,
    /// Words for people.
    pub text: Cow<'a, str>,
}

impl<'a> Warning<'a> {
    fn parser(input: &'a str) -> Parsed<'a, Self> {
        let is_blank = |c| c == ' ' || c == '\t';
        let (code, input) = input.split_at_checked(3).unwrap_or((input, ""));
        let value = if code.len() == 3 {
            grammar::decimal(code, 999)
        } else {
            None
        };
        let Some(code) = value.and_then(|code| u16::try_from(code).ok()) else {
            return bad("three digits expected");
        };
        let (input, _) = blanks1(input)?;
        let Some((agent, input)) = input.find(is_blank).and_then(|at| input.split_at_checked(at)) else {
            return bad("warning text expected");
        };
        let hostport = |input| {
            let (rest, _) = grammar::host(input)?;
            grammar::port(rest)
        };
        if !grammar::is_token(agent) && grammar::whole(hostport, agent).is_err() {
            return bad("bad warning agent");
        }
        let (input, _) = blanks(input)?;
        let (input, text) = grammar::quoted(input)?;
        Ok((
            input,
            Self {
                code,
                agent: Cow::Borrowed(agent),
                text,
            },
        ))
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Warning<'static> {
        Warning {
            code: self.code,
            agent: Cow::Owned(self.agent.into_owned()),
            text: Cow::Owned(self.text.into_owned()),
        }
    }
}

impl<'a> Header<'a> for Warning<'a> {
    const NAME: HeaderName = HeaderName::Warning;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        grammar::whole(Self::parser, value).map_err(|what| ParseError::header(Self::NAME, what))
    }

    fn write(&self, out: &mut String) {
        // A string takes all that is written to it.
        let _ = core::fmt::write(out, format_args!("{:03} ", self.code.min(999)));
        out.push_str(&self.agent);
        out.push(' ');
        grammar::write_quoted(out, &self.text);
    }
}

impl<'a> ListHeader<'a> for Warning<'a> {}

macro_rules! link_fields {
    ($($(#[$doc:meta])* $type:ident: $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            pub struct $type<'a> {
                /// Where it is.
                pub uri: Uri<'a>,
                /// The parameters.
                pub params: Params<'a>,
            }

            impl<'a> $type<'a> {
                fn parser(input: &'a str) -> Parsed<'a, Self> {
                    let (input, uri) = expect("URI in angle brackets expected", grammar::bracketed).parse(input)?;
                    let uri = match Uri::read(uri) {
                        Ok(uri) => uri,
                        Err(what) => return bad(what),
                    };
                    let (input, params) = grammar::params(input)?;
                    Ok((input, Self { uri, params }))
                }

                /// What the link is for (`purpose`, of Call-Info).
                pub fn purpose(&self) -> Option<&str> {
                    self.params.token("purpose")
                }

                /// A copy that borrows nothing.
                pub fn into_owned(self) -> $type<'static> {
                    $type { uri: self.uri.into_owned(), params: self.params.into_owned() }
                }
            }

            impl<'a> Header<'a> for $type<'a> {
                const NAME: HeaderName = HeaderName::$name;

                fn parse(value: &'a str) -> Result<Self, ParseError> {
                    grammar::whole(Self::parser, value).map_err(|what| ParseError::header(Self::NAME, what))
                }

                fn write(&self, out: &mut String) {
                    out.push('<');
                    self.uri.write(out);
                    out.push('>');
                    self.params.write(out);
                }
            }

            impl<'a> ListHeader<'a> for $type<'a> {}
        )*
    };
}

link_fields! {
    /// A ring tone, or a ringback tone (RFC 3261 section 20.4).
    AlertInfo: AlertInfo;
    /// More about the caller or the callee (RFC 3261 section 20.9).
    CallInfo: CallInfo;
    /// More about an error (RFC 3261 section 20.18).
    ErrorInfo: ErrorInfo;
}

/// A moment in Greenwich time, to the second (RFC 3261 section 20.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Seconds since the beginning of 1970, leap seconds not counted.
    unix: u64,
}

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY: u64 = 86_400;

/// The last second that has a year of four digits.
const END: u64 = 253_402_300_799;

impl Date {
    /// The moment so many seconds after the beginning of 1970; none after the year 9999.
    pub const fn from_unix(seconds: u64) -> Option<Self> {
        if seconds <= END {
            Some(Self { unix: seconds })
        } else {
            None
        }
    }

    /// Seconds since the beginning of 1970.
    pub const fn unix(self) -> u64 {
        self.unix
    }

    fn parser(input: &str) -> Parsed<'_, Self> {
        let (input, weekday) = expect("weekday expected", grammar::token).parse(input)?;
        if !WEEKDAYS.iter().any(|known| known.eq_ignore_ascii_case(weekday)) {
            return bad("weekday expected");
        }
        let (input, _) = expect("comma expected", char(',')).parse(input)?;
        let (input, _) = blanks1(input)?;
        let (input, day) = digits(2, input)?;
        let (input, _) = blanks1(input)?;
        let (input, month) = expect("month expected", grammar::token).parse(input)?;
        let Some(month) = MONTHS
            .iter()
            .zip(1..)
            .find(|(name, _)| name.eq_ignore_ascii_case(month))
        else {
            return bad("month expected");
        };
        let (input, _) = blanks1(input)?;
        let (input, year) = digits(4, input)?;
        let (input, _) = blanks1(input)?;
        let (input, hour) = digits(2, input)?;
        let (input, _) = expect("colon expected", char(':')).parse(input)?;
        let (input, minute) = digits(2, input)?;
        let (input, _) = expect("colon expected", char(':')).parse(input)?;
        let (input, second) = digits(2, input)?;
        let (input, _) = blanks1(input)?;
        let (input, zone) = expect("GMT expected", grammar::token).parse(input)?;
        if !zone.eq_ignore_ascii_case("GMT") {
            return bad("GMT expected");
        }
        let in_month = (1..=days_in_month(year, month.1)).contains(&day);
        // A leap second is the same moment as the second before it.
        if year < 1970 || !in_month || hour > 23 || minute > 59 || second > 60 {
            return bad("no such date");
        }
        let days = days_before_year(year) - days_before_year(1970)
            + (1..month.1).map(|month| days_in_month(year, month)).sum::<u64>()
            + (day - 1);
        Ok((
            input,
            Self {
                unix: days * DAY + hour * 3600 + minute * 60 + second.min(59),
            },
        ))
    }
}

/// So many digits, no more and no fewer.
fn digits(count: usize, input: &str) -> Parsed<'_, u64> {
    let Some((text, rest)) = input.split_at_checked(count) else {
        return bad("digits expected");
    };
    match grammar::decimal(text, 9999) {
        Some(value) if !rest.starts_with(|c: char| c.is_ascii_digit()) => Ok((rest, value)),
        _ => bad("digits expected"),
    }
}

const fn is_leap_year(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the beginning of year 1 to that of `year`.
const fn days_before_year(year: u64) -> u64 {
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400
}

impl<'a> Header<'a> for Date {
    const NAME: HeaderName = HeaderName::Date;

    fn parse(value: &'a str) -> Result<Self, ParseError> {
        grammar::whole(Self::parser, value).map_err(|what| ParseError::header(Self::NAME, what))
    }

    fn write(&self, out: &mut String) {
        let (mut days, seconds) = (self.unix / DAY, self.unix % DAY);
        let weekday = usize::try_from(days % 7)
            .ok()
            .and_then(|at| WEEKDAYS.get(at))
            .unwrap_or(&"Thu");
        let mut year = 1970;
        while days >= 365 + u64::from(is_leap_year(year)) {
            days -= 365 + u64::from(is_leap_year(year));
            year += 1;
        }
        let mut month = 1;
        while days >= days_in_month(year, month) {
            days -= days_in_month(year, month);
            month += 1;
        }
        let name = usize::try_from(month - 1)
            .ok()
            .and_then(|at| MONTHS.get(at))
            .unwrap_or(&"Jan");
        let day = days + 1;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        // A string takes all that is written to it.
        let _ = core::fmt::write(
            out,
            format_args!("{weekday}, {day:02} {name} {year:04} {hour:02}:{minute:02}:{second:02} GMT"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::to_string;
    use super::*;

    #[test]
    fn free_text() {
        assert_eq!(Subject::parse("").unwrap().as_str(), "");
        assert_eq!(
            Subject::parse(" Need more boxes ").unwrap().as_str(),
            "Need more boxes"
        );
        assert_eq!(Organization::parse("Caf\u{e9}").unwrap().as_str(), "Caf\u{e9}");
        let agent = "UCCAPI/3.5.6907.0 OC/3.5.6907.0 (Microsoft Office Communicator 2007 R2)";
        assert_eq!(UserAgent::parse(agent).unwrap().as_str(), agent);
        assert!(UserAgent::parse(" ").is_err());
        assert!(Server::parse("").is_err());
        assert!(Server::parse("RTC/3.5").is_ok());
    }

    // rules: E11
    #[test]
    fn text_of_an_application_cannot_hold_control_characters() {
        for text in ["a\r\nVia: x", "a\nb", "a\rb", "a\u{0}", "a\u{7f}"] {
            assert!(UserAgent::new(text).is_err(), "{text:?}");
            assert!(Subject::new(text).is_err(), "{text:?}");
            assert!(Organization::new(text).is_err(), "{text:?}");
        }
        assert_eq!(UserAgent::new("  x ").unwrap().as_str(), "x");
    }

    // RFC 3261 section 20.43 and RFC 4475 section 3.1.2.5.
    #[test]
    fn warnings() {
        let text =
            "307 isi.edu \"Session parameter 'foo' not understood\",301 isi.edu:99 \"a, b\", 399 [::1] \"\"";
        let list: alloc::vec::Vec<_> = Warning::parse_list(text).map(Result::unwrap).collect();
        assert_eq!((list[0].code, list[0].agent.as_ref()), (307, "isi.edu"));
        assert_eq!(
            (list[1].agent.as_ref(), list[1].text.as_ref()),
            ("isi.edu:99", "a, b")
        );
        assert_eq!(to_string(&list[2]), "399 [::1] \"\"");
        assert_eq!(
            to_string(&Warning {
                code: 7,
                agent: "x".into(),
                text: "y".into()
            }),
            "007 x \"y\""
        );
        for text in [
            "",
            "1812 overture \"In Progress\"",
            "39 x \"y\"",
            "399 x y",
            "399 \"y\"",
            "399 a=b \"y\"",
            "399 x",
            "+99 x \"\"",
        ] {
            assert!(Warning::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn links() {
        let text = "<http://wwww.example.com/alice/photo.jpg> ;purpose=icon, <http://www.example.com/alice/> ;purpose=info";
        let list: alloc::vec::Vec<_> = CallInfo::parse_list(text).map(Result::unwrap).collect();
        assert_eq!(
            (list[0].purpose(), list[1].purpose()),
            (Some("icon"), Some("info"))
        );
        assert_eq!(
            to_string(&list[1]),
            "<http://www.example.com/alice/>;purpose=info"
        );
        assert!(AlertInfo::parse("<http://www.example.com/sounds/moo.wav>").is_ok());
        assert!(AlertInfo::parse("http://www.example.com/sounds/moo.wav").is_err());
        assert!(ErrorInfo::parse("<sip:not-in-service-recording@atlanta.com>").is_ok());
        assert!(ErrorInfo::parse("<>").is_err());
        assert!(CallInfo::parse("").is_err());
    }

    // RFC 3261 section 20.17; the seconds by the calendar of POSIX.
    #[test]
    fn dates() {
        for (text, seconds) in [
            ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            let date = Date::parse(text).unwrap();
            assert_eq!(date.unix(), seconds, "{text}");
            assert_eq!(to_string(&date), text);
        }
        assert_eq!(Date::from_unix(253_402_300_800), None);
        for text in [
            "",
            "Fri, 01 Jan 2010 16:00:00 EST",
            "Xyz, 13 Nov 2010 23:29:00 GMT",
            "Sat 13 Nov 2010 23:29:00 GMT",
            "Sat, 1 Nov 2010 23:29:00 GMT",
            "Sat, 00 Nov 2010 23:29:00 GMT",
            "Sat, 31 Nov 2010 23:29:00 GMT",
            "Mon, 29 Feb 2100 00:00:00 GMT",
            "Sat, 13 Nov 10 23:29:00 GMT",
            "Sat, 13 Nov 20100 23:29:00 GMT",
            "Sat, 13 Nov 2010 24:29:00 GMT",
            "Sat, 13 Nov 2010 23:60:00 GMT",
            "Sat, 13 Nov 2010 23:29:61 GMT",
            "Sat, 13 Nov 0001 23:29:00 GMT",
            "Sat, 13 Nov 2010 23:29:00",
        ] {
            assert!(Date::parse(text).is_err(), "{text}");
        }
    }
}
