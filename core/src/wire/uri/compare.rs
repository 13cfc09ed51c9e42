//! When two URIs mean the same (RFC 3261 section 19.1.4, RFC 3966 section 4; rule E9).

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::escape::{is_visual_separator, order_of_text, same_text, units};
use super::{SipUri, TelUri, Uri};

/// How user parts (and passwords) are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum UserCase {
    /// Without regard to case, as UCMA's servers do (the default, E9).
    #[default]
    Insensitive,
    /// With regard to case, as RFC 3261 has it.
    Sensitive,
}

/// Whether two URIs are equivalent.
///
/// This is not transitive: a parameter that only one of them has is ignored, so that two URIs which differ in it may
/// both equal a third. Tables index by [`canonical_key`] and compare inside the bucket.
pub fn equal(a: &Uri<'_>, b: &Uri<'_>, case: UserCase) -> bool {
    match (a, b) {
        (Uri::Sip(a), Uri::Sip(b)) => equal_sip(a, b, case),
        (Uri::Tel(a), Uri::Tel(b)) => equal_tel(a, b),
        (Uri::Other(a), Uri::Other(b)) => a.scheme.eq_ignore_ascii_case(&b.scheme) && a.rest == b.rest,
        (Uri::Sip(_) | Uri::Tel(_) | Uri::Other(_), _) => false,
    }
}

/// The key under which all URIs stand that may be [`equal`]: user and host in lower case, or the digits of a number.
pub fn canonical_key(uri: &Uri<'_>) -> String {
    let mut key = String::new();
    match uri {
        Uri::Sip(uri) => {
            if let Some(user) = &uri.user {
                for unit in units(user) {
                    // Where an escape stands for a reserved character it stays one, since then the two differ.
                    if unit.escaped_reserved {
                        key.push('%');
                    }
                    key.push(char::from(unit.byte.to_ascii_lowercase()));
                }
                key.push('@');
            }
            let start = key.len();
            uri.host.write(&mut key);
            if key.ends_with('.') && key.len() > start {
                key.pop();
            }
            key.make_ascii_lowercase();
        }
        Uri::Tel(uri) => {
            key.push_str("tel:");
            key.extend(uri.digits().map(|c| c.to_ascii_lowercase()));
        }
        Uri::Other(uri) => {
            key.extend(uri.scheme.chars().map(|c| c.to_ascii_lowercase()));
            key.push(':');
            key.push_str(&uri.rest);
        }
    }
    key
}

fn equal_sip(a: &SipUri<'_>, b: &SipUri<'_>, case: UserCase) -> bool {
    /// Parameters that never match their absence.
    const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

    let same_part = |a: Option<&str>, b: Option<&str>| match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same_text(a, b, case),
        (Some(_), None) | (None, Some(_)) => false,
    };
    a.secure == b.secure
        && a.port == b.port
        && a.host.same(&b.host)
        && same_part(a.user.as_deref(), b.user.as_deref())
        && same_part(a.password.as_deref(), b.password.as_deref())
        && DECISIVE
            .iter()
            .all(|name| a.params.contains(name) == b.params.contains(name))
        && a.params.iter().all(|(name, value)| match b.params.find(name) {
            None => true,
            Some(other) => same_value(value, other),
        })
        && same_headers(a, b)
}

fn same_value(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same_text(a, b, UserCase::Insensitive),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The headers of both, whatever their order, repeated ones as often.
fn same_headers(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    /// Usually there is none; so many are compared each with each.
    const FEW: usize = 4;

    let number = a.headers.iter().count();
    if number != b.headers.iter().count() {
        return false;
    }
    if number <= FEW {
        return a
            .headers
            .iter()
            .all(|header| count(a, header) == count(b, header));
    }
    let (a, b) = (sorted_headers(a, number), sorted_headers(b, number));
    a.iter().zip(&b).all(|(a, b)| order_of_headers(a, b).is_eq())
}

fn count(uri: &SipUri<'_>, header: (&str, &str)) -> usize {
    let same = |other: &(&str, &str)| order_of_headers(other, &header).is_eq();
    uri.headers.iter().filter(same).count()
}

fn sorted_headers<'a>(uri: &'a SipUri<'_>, number: usize) -> Vec<(&'a str, &'a str)> {
    let mut headers = Vec::with_capacity(number);
    headers.extend(uri.headers.iter());
    headers.sort_unstable_by(order_of_headers);
    headers
}

fn order_of_headers(a: &(&str, &str), b: &(&str, &str)) -> Ordering {
    order_of_text(a.0, b.0).then_with(|| order_of_text(a.1, b.1))
}

fn equal_tel(a: &TelUri<'_>, b: &TelUri<'_>) -> bool {
    let lower = |c: char| c.to_ascii_lowercase();
    a.digits().map(lower).eq(b.digits().map(lower))
        && a.params.iter().count() == b.params.iter().count()
        && a.params.iter().all(|(name, value)| {
            let Some(other) = b.params.find(name) else {
                return false;
            };
            match (value, other) {
                (Some(value), Some(other)) if is_number_param(name, value) => {
                    visible(value).eq(visible(other))
                }
                (value, other) => same_value(value, other),
            }
        })
}

/// Whether the value is a number in which visual separators do not count.
fn is_number_param(name: &str, value: &str) -> bool {
    name.eq_ignore_ascii_case("ext") || (name.eq_ignore_ascii_case("phone-context") && value.starts_with('+'))
}

fn visible(number: &str) -> impl Iterator<Item = char> {
    number.chars().filter(|c| !is_visual_separator(*c))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text).unwrap()
    }

    fn same(a: &str, b: &str, case: UserCase) -> bool {
        let (left, right) = (equal(&uri(a), &uri(b), case), equal(&uri(b), &uri(a), case));
        assert_eq!(left, right, "{a} and {b}");
        left
    }

    // rules: E9
    #[test]
    fn headers_are_the_same_in_any_order_and_as_often() {
        for number in [1, 2, 4, 5, 9] {
            let of = |numbers: &[usize]| {
                let headers: Vec<String> = numbers.iter().map(|n| format!("h{n}=%4{}", n % 10)).collect();
                format!("sip:a@example.com?{}", headers.join("&"))
            };
            let forth: Vec<usize> = (1..=number).collect();
            let back: Vec<usize> = (1..=number).rev().collect();
            assert!(
                same(&of(&forth), &of(&back).replace("?h", "?H"), UserCase::Sensitive),
                "{number}"
            );
            let value = of(&forth).replace("h1=%41", "h1=%42");
            assert!(
                !same(&of(&forth), &value, UserCase::Insensitive),
                "{number}: a value"
            );
            let mut other = forth.clone();
            other.push(1);
            assert!(
                !same(&of(&forth), &of(&other), UserCase::Insensitive),
                "{number}: one more"
            );
            // As many, but one twice and another not at all.
            other.swap_remove(number - 1);
            assert_eq!(
                same(&of(&forth), &of(&other), UserCase::Insensitive),
                number == 1,
                "{number}"
            );
        }
    }

    // rules: E9
    // RFC 3261 section 19.1.4, the URIs it calls equivalent.
    #[test]
    fn equivalent() {
        for (a, b) in [
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtLanTa.CoM;Transport=tcp",
            ),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:carol@chicago.com;newparam=5",
                "sip:carol@chicago.com;security=on",
            ),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            for case in [UserCase::Sensitive, UserCase::Insensitive] {
                assert!(same(a, b, case), "{a} and {b}");
            }
            assert_eq!(canonical_key(&uri(a)), canonical_key(&uri(b)));
        }
    }

    // rules: E9
    // RFC 3261 section 19.1.4, the URIs it calls not equivalent.
    #[test]
    fn not_equivalent() {
        for (a, b) in [
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
            ),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
            ),
            ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
            ("sip:bob@biloxi.com", "sip:biloxi.com"),
            ("sip:bob@biloxi.com", "sip:bob:x@biloxi.com"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;user=ip"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;ttl=1"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;method=INVITE"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;maddr=192.0.2.4"),
            ("sip:bob@biloxi.com", "tel:+1"),
            ("sip:a%3Bb@biloxi.com", "sip:a;b@biloxi.com"),
            ("sip:%00@host5.example.com", "sip:%00%00@host5.example.com"),
            ("sip:a@b.c?x=1&x=1&y=2", "sip:a@b.c?x=1&y=2&y=2"),
        ] {
            for case in [UserCase::Sensitive, UserCase::Insensitive] {
                assert!(!same(a, b, case), "{a} and {b}");
            }
        }
    }

    // rules: E9
    #[test]
    fn the_case_of_a_user_matters_where_asked() {
        let (a, b) = (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        );
        assert!(!same(a, b, UserCase::Sensitive));
        assert!(same(a, b, UserCase::default()));
        assert_eq!(canonical_key(&uri(a)), "alice@atlanta.com");
        assert_eq!(canonical_key(&uri(b)), "alice@atlanta.com");
    }

    // RFC 3966 section 4.
    #[test]
    fn telephone_numbers() {
        for (a, b) in [
            ("tel:+1-201-555-0123", "tel:+1(201)555.0123"),
            ("tel:+14085264000;ext=88463", "tel:+1-408-526-4000;EXT=88-463"),
            (
                "tel:7042;phone-context=Example.com",
                "tel:70-42;phone-context=example.com",
            ),
            ("tel:7042;phone-context=+1-914", "tel:7042;phone-context=+1914"),
            ("tel:+1;a=b;c=d", "tel:+1;C=D;A=B"),
        ] {
            assert!(same(a, b, UserCase::Sensitive), "{a} and {b}");
            assert_eq!(canonical_key(&uri(a)), canonical_key(&uri(b)));
        }
        for (a, b) in [
            ("tel:+12015550123", "tel:12015550123;phone-context=+1"),
            ("tel:+12015550123", "tel:+12015550124"),
            ("tel:+1", "tel:+1;ext=2"),
            ("tel:+1;ext=1", "tel:+1;ext=2"),
            ("tel:+1;isub=1", "tel:+1;ext=1"),
            ("tel:7042;phone-context=a.com", "tel:7042;phone-context=b.com"),
        ] {
            assert!(!same(a, b, UserCase::Insensitive), "{a} and {b}");
        }
    }

    #[test]
    fn other_schemes_are_compared_as_text() {
        assert!(same("URN:service:sos", "urn:service:sos", UserCase::Sensitive));
        assert!(!same("urn:service:sos", "urn:service:SOS", UserCase::Insensitive));
    }
}
