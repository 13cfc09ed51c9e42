//! The header fields of Microsoft's schemes, NTLM, Kerberos and TLS-DSK (MS-SIP section 3.1.5.1, MS-SIPAE section 2.2):
//! what they hold, read and written.
//!
//! Their grammar is that of `wire::header`: names in any case and order, values in quotes or bare, never escaped. These
//! types borrow from the field. Both sides are here: a server writes a [`Challenge`], a client answers with
//! [`Credentials`] and signs all that follows with them, and a server signs with an [`Info`].

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::ops::Deref;

use smallvec::SmallVec;

use super::encoding::{from_base64, from_hex, push_hex, to_base64};
use super::same;
use super::signing::{Stamp, Version};
use crate::error::ParseError;
use crate::wire::HeaderName;
use crate::wire::header::{self, AuthParams};

/// The quality of protection, the only one there is.
const QOP: &str = "auth";

/// One of Microsoft's schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A password and a challenge: [`ntlm`](super::ntlm).
    Ntlm,
    /// A ticket of a domain.
    Kerberos,
    /// A certificate and a TLS handshake in tokens.
    TlsDsk,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ntlm, Self::Kerberos, Self::TlsDsk];

    /// The scheme of this name, in any case.
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.token().eq_ignore_ascii_case(token))
    }

    /// The name on the wire.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Ntlm => "NTLM",
            Self::Kerberos => "Kerberos",
            Self::TlsDsk => "TLS-DSK",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// The proof of a mechanism over what is signed: 16 bytes for NTLM, 28 or 37 for Kerberos, 16 or 20 for TLS-DSK.
#[derive(Clone)]
pub struct Mic(SmallVec<[u8; 40]>);

impl Mic {
    /// The longest that is read: more than any mechanism makes.
    pub const MAX: usize = 128;

    /// The proof of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(SmallVec::from_slice(bytes))
    }
}

impl Deref for Mic {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// In constant time.
impl PartialEq for Mic {
    fn eq(&self, other: &Self) -> bool {
        same(self, other)
    }
}

impl Eq for Mic {}

impl fmt::Debug for Mic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mic({} bytes)", self.len())
    }
}

/// A message's signature and what makes it one of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// `crand` of a client, `srand` of a server: as written, eight hexadecimal digits.
    pub random: Cow<'a, str>,
    /// `cnum` of a client, `snum` of a server: one more with each message of an association.
    pub number: u32,
    /// `response` of a client, `rspauth` of a server.
    pub mic: Mic,
}

/// What a server asks with: WWW-Authenticate or Proxy-Authenticate.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// What the user is to log on to, compared exactly.
    pub realm: &'a str,
    /// `targetname`: the server itself, a host name, or `sip/` and a host name for Kerberos.
    pub target: &'a str,
    /// The version; a server of before them says none, which is [`Version::V2`].
    pub version: Option<Version>,
    /// The server's handle of the association that is being made, sent back as it is.
    pub opaque: Option<&'a str>,
    /// `gssapi-data`: the mechanism's token, in the midst of a handshake.
    pub token: Option<Vec<u8>>,
    /// `sts-uri`: where TLS-DSK has its certificate from.
    pub sts_uri: Option<&'a str>,
}

impl<'a> Challenge<'a> {
    /// Reads the parameters of a challenge.
    ///
    /// # Errors
    /// Another scheme, no realm or target, a version below 2, or a token that is none.
    pub fn read(challenge: &'a header::Challenge<'_>) -> Result<Self, ParseError> {
        let fields = Fields {
            params: &challenge.params,
            name: HeaderName::WwwAuthenticate,
        };
        Ok(Self {
            scheme: fields.scheme(&challenge.scheme)?,
            realm: fields.needed("realm", "realm missing")?,
            target: fields.needed("targetname", "targetname missing")?,
            version: fields.version()?,
            opaque: fields.raw("opaque"),
            token: fields.token()?,
            sts_uri: fields.raw("sts-uri"),
        })
    }

    /// The version to speak.
    pub fn version(&self) -> Version {
        self.version.unwrap_or(Version::V2)
    }

    /// The header field value.
    pub fn to_header(&self) -> header::Challenge<'a> {
        let mut params = with(AuthParams::new(), "opaque", self.opaque);
        params = with_token(params, self.token.as_deref())
            .with_raw_quoted("targetname", self.target)
            .with_raw_quoted("realm", self.realm);
        params = with_version(params, self.version);
        header::Challenge {
            scheme: self.scheme.token().into(),
            params: with(params, "sts-uri", self.sts_uri),
        }
    }
}

/// What a client answers with, and signs with: Authorization or Proxy-Authorization.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// As challenged.
    pub realm: &'a str,
    /// As challenged.
    pub target: &'a str,
    /// The server's handle of the association, once it has given one.
    pub opaque: Option<&'a str>,
    /// In a handshake the version that is spoken; none later.
    pub version: Option<Version>,
    /// In a handshake the mechanism's token; an empty one asks for the server's.
    pub token: Option<Vec<u8>>,
    /// The signature of this message, where it has one.
    pub signature: Option<Signature<'a>>,
}

impl<'a> Credentials<'a> {
    /// Reads the parameters of credentials.
    ///
    /// # Errors
    /// Another scheme or quality of protection, no realm or target, a version below 2, a token that is none, or a
    /// signature that is malformed or not whole.
    pub fn read(credentials: &'a header::Credentials<'_>) -> Result<Self, ParseError> {
        let fields = Fields {
            params: &credentials.params,
            name: HeaderName::Authorization,
        };
        fields.qop()?;
        Ok(Self {
            scheme: fields.scheme(&credentials.scheme)?,
            realm: fields.needed("realm", "realm missing")?,
            target: fields.needed("targetname", "targetname missing")?,
            opaque: fields.raw("opaque"),
            version: fields.version()?,
            token: fields.token()?,
            signature: fields.signature(["crand", "cnum", "response"])?,
        })
    }

    /// What is signed of these credentials; `None` without a signature.
    pub fn stamp(&self) -> Option<Stamp<'_>> {
        stamp(self.scheme, self.realm, self.target, self.signature.as_ref())
    }

    /// The header field value.
    pub fn to_header(&self) -> header::Credentials<'_> {
        let mut params = AuthParams::new()
            .with_raw_quoted("qop", QOP)
            .with_raw_quoted("realm", self.realm);
        params = with(params, "opaque", self.opaque).with_raw_quoted("targetname", self.target);
        params = with_token(with_version(params, self.version), self.token.as_deref());
        if let Some([random, number, mic]) = self.signature.as_ref().map(Signature::texts) {
            params = params
                .with_raw_quoted("crand", random)
                .with_raw_quoted("cnum", number)
                .with_raw_quoted("response", mic);
        }
        header::Credentials {
            scheme: self.scheme.token().into(),
            params,
        }
    }
}

/// What a server signs with: Authentication-Info or Proxy-Authentication-Info.
#[derive(Clone, PartialEq, Eq)]
pub struct Info<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// As challenged.
    pub realm: &'a str,
    /// As challenged.
    pub target: &'a str,
    /// The server's handle of the association.
    pub opaque: Option<&'a str>,
    /// The version that is spoken; later servers say it at the end of a handshake.
    pub version: Option<Version>,
    /// The mechanism's last token, where it has one.
    pub token: Option<Vec<u8>>,
    /// The signature of this message, where it has one.
    pub signature: Option<Signature<'a>>,
}

impl<'a> Info<'a> {
    /// Reads the parameters.
    ///
    /// # Errors
    /// As with [`Credentials::read`].
    pub fn read(info: &'a header::AuthInfo<'_>) -> Result<Self, ParseError> {
        let fields = Fields {
            params: &info.params,
            name: HeaderName::AuthenticationInfo,
        };
        fields.qop()?;
        Ok(Self {
            scheme: fields.scheme(info.scheme.as_deref().unwrap_or_default())?,
            realm: fields.needed("realm", "realm missing")?,
            target: fields.needed("targetname", "targetname missing")?,
            opaque: fields.raw("opaque"),
            version: fields.version()?,
            token: fields.token()?,
            signature: fields.signature(["srand", "snum", "rspauth"])?,
        })
    }

    /// What is signed of this; `None` without a signature.
    pub fn stamp(&self) -> Option<Stamp<'_>> {
        stamp(self.scheme, self.realm, self.target, self.signature.as_ref())
    }

    /// The header field value.
    pub fn to_header(&self) -> header::AuthInfo<'_> {
        let mut params = with_token(AuthParams::new(), self.token.as_deref());
        if let Some([random, number, mic]) = self.signature.as_ref().map(Signature::texts) {
            params = params
                .with_raw_quoted("rspauth", mic)
                .with_raw_quoted("srand", random)
                .with_raw_quoted("snum", number);
        }
        params = with(params, "opaque", self.opaque)
            .with_raw_quoted("qop", QOP)
            .with_raw_quoted("targetname", self.target)
            .with_raw_quoted("realm", self.realm);
        header::AuthInfo {
            scheme: Some(self.scheme.token().into()),
            params: with_version(params, self.version),
        }
    }
}

fn stamp<'a>(
    scheme: Scheme,
    realm: &'a str,
    target: &'a str,
    signature: Option<&'a Signature<'_>>,
) -> Option<Stamp<'a>> {
    signature.map(|signature| Stamp {
        scheme,
        random: &signature.random,
        number: signature.number,
        realm,
        target,
    })
}

/// The parameters of one field, and which it is.
struct Fields<'a, 'p> {
    params: &'a AuthParams<'p>,
    name: HeaderName,
}

impl<'a> Fields<'a, '_> {
    fn error(&self, what: &'static str) -> ParseError {
        ParseError::header(self.name, what)
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.params.raw(name)
    }

    fn needed(&self, name: &str, missing: &'static str) -> Result<&'a str, ParseError> {
        self.raw(name).ok_or_else(|| self.error(missing))
    }

    fn scheme(&self, token: &str) -> Result<Scheme, ParseError> {
        Scheme::from_token(token).ok_or_else(|| self.error("not one of Microsoft's schemes"))
    }

    /// No quality, or the one there is.
    fn qop(&self) -> Result<(), ParseError> {
        match self.raw("qop") {
            Some(qop) if !qop.eq_ignore_ascii_case(QOP) => Err(self.error("unknown qop")),
            Some(_) | None => Ok(()),
        }
    }

    fn version(&self) -> Result<Option<Version>, ParseError> {
        let Some(text) = self.raw("version") else {
            return Ok(None);
        };
        match canonical(text).and_then(Version::at_most) {
            Some(version) => Ok(Some(version)),
            None => Err(self.error("bad version")),
        }
    }

    fn token(&self) -> Result<Option<Vec<u8>>, ParseError> {
        let text = self.raw("gssapi-data");
        text.map(from_base64).transpose().map_err(|what| self.error(what))
    }

    /// A signature of the parameters with these names: all of them, or none.
    fn signature(&self, [random, number, mic]: [&str; 3]) -> Result<Option<Signature<'a>>, ParseError> {
        let (random, number, mic) = match [random, number, mic].map(|name| self.raw(name)) {
            [None, None, None] => return Ok(None),
            [Some(random), Some(number), Some(mic)] => (random, number, mic),
            _ => return Err(self.error("signature not whole")),
        };
        if mic.is_empty() || mic.len() > 2 * Mic::MAX {
            return Err(self.error("bad length of signature"));
        }
        let mic = from_hex(mic).ok_or_else(|| self.error("signature not hexadecimal"))?;
        Ok(Some(Signature {
            random: Cow::Borrowed(random),
            number: canonical(number).ok_or_else(|| self.error("bad message number"))?,
            mic: Mic(mic.collect()),
        }))
    }
}

/// A number as this stack would write it: what is signed is its text.
fn canonical(text: &str) -> Option<u32> {
    let is_canonical = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    if is_canonical { text.parse().ok() } else { None }
}

fn with<'a>(params: AuthParams<'a>, name: &'a str, value: Option<&'a str>) -> AuthParams<'a> {
    match value {
        Some(value) => params.with_raw_quoted(name, value),
        None => params,
    }
}

fn with_version(params: AuthParams<'_>, version: Option<Version>) -> AuthParams<'_> {
    let token = match version {
        None => return params,
        Some(Version::V2) => "2",
        Some(Version::V3) => "3",
        Some(Version::V4) => "4",
    };
    params.with_token("version", token)
}

fn with_token<'a>(params: AuthParams<'a>, token: Option<&[u8]>) -> AuthParams<'a> {
    match token {
        Some(token) => params.with_raw_quoted("gssapi-data", to_base64(token)),
        None => params,
    }
}

impl<'a> Signature<'a> {
    /// Its values as they are written.
    fn texts(&'a self) -> [Cow<'a, str>; 3] {
        let mut number = String::with_capacity(10);
        // Writing to a string does not fail.
        let _ = write!(number, "{}", self.number);
        let mut mic = String::with_capacity(2 * self.mic.len());
        push_hex(&mut mic, &self.mic);
        [Cow::Borrowed(&*self.random), Cow::Owned(number), Cow::Owned(mic)]
    }
}

/// Shows all but the token, which is as good as a password to who has the time to guess it, and the proof.
macro_rules! debug_without_token {
    ($($type:ident { $($field:ident),* };)*) => {
        $(
            impl fmt::Debug for $type<'_> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($type))
                        $(.field(stringify!($field), &self.$field))*
                        .field("token", &self.token.as_ref().map(Vec::len))
                        .finish()
                }
            }
        )*
    };
}

debug_without_token! {
    Challenge { scheme, realm, target, version, opaque, sts_uri };
    Credentials { scheme, realm, target, opaque, version, signature };
    Info { scheme, realm, target, opaque, version, signature };
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::header::Header;

    const REALM: &str = "SIP Communications Service";

    fn challenge(value: &str) -> header::Challenge<'_> {
        header::WwwAuthenticate::parse(value).unwrap().0
    }

    fn credentials(value: &str) -> header::Credentials<'_> {
        header::Authorization::parse(value).unwrap().0
    }

    fn info(value: &str) -> header::AuthInfo<'_> {
        header::AuthenticationInfo::parse(value).unwrap().0
    }

    // MS-SIP sections 4.1 and 4.2: what a server asks with, first and in the midst of a handshake.
    // rules: A1
    #[test]
    fn challenges() {
        let text = format!("NTLM realm=\"{REALM}\", targetname=\"fe.example.com\", version=4");
        let header = challenge(&text);
        let expected = Challenge {
            scheme: Scheme::Ntlm,
            realm: REALM,
            target: "fe.example.com",
            version: Some(Version::V4),
            opaque: None,
            token: None,
            sts_uri: None,
        };
        assert_eq!(Challenge::read(&header), Ok(expected.clone()));
        assert_eq!(expected.version(), Version::V4);
        assert_eq!(
            header::to_string(&header::WwwAuthenticate(expected.to_header())),
            format!("NTLM targetname=\"fe.example.com\", realm=\"{REALM}\", version=4")
        );

        let text = "kerberos OPAQUE=\"85185AE4\" , gssapi-data =\"TlRM\",targetname= \"sip/Fe.example.com\", realm=\"DOM\\x\"";
        let header = challenge(text);
        let read = Challenge::read(&header).unwrap();
        assert_eq!(
            (read.scheme, read.realm, read.target, read.opaque),
            (Scheme::Kerberos, "DOM\\x", "sip/Fe.example.com", Some("85185AE4"))
        );
        assert_eq!(read.token.as_deref(), Some(&b"NTL"[..]));
        assert_eq!((read.version, read.version()), (None, Version::V2));

        let text = "TLS-DSK opaque=\"1\", gssapi-data=\"FgM=\", targetname=\"fe\", realm=\"r\", version=99, sts-uri=\"https://fe/CertProv\"";
        let header = challenge(text);
        let read = Challenge::read(&header).unwrap();
        assert_eq!(read.sts_uri, Some("https://fe/CertProv"));
        assert_eq!(read.version(), Version::V4);
        assert_eq!(
            header::to_string(&header::ProxyAuthenticate(read.to_header())),
            text.replace("99", "4")
        );
    }

    // rules: A1, A4
    #[test]
    fn credentials_of_each_step() {
        let empty =
            format!("NTLM qop=\"auth\", realm=\"{REALM}\", targetname=\"fe\", version=4, gssapi-data=\"\"");
        let header = credentials(&empty);
        let read = Credentials::read(&header).unwrap();
        assert_eq!(read.token.as_deref(), Some(&b""[..]));
        assert_eq!((&read.signature, read.stamp()), (&None, None));
        assert_eq!(header::to_string(&header::Authorization(read.to_header())), empty);

        let signed = format!(
            "NTLM qop=\"auth\", realm=\"{REALM}\", opaque=\"85185AE4\", targetname=\"fe\", \
             crand=\"13317733\", cnum=\"12\", response=\"0100ff\""
        );
        let header = credentials(&signed);
        let read = Credentials::read(&header).unwrap();
        let stamp = Stamp {
            scheme: Scheme::Ntlm,
            random: "13317733",
            number: 12,
            realm: REALM,
            target: "fe",
        };
        assert_eq!(read.stamp(), Some(stamp));
        assert_eq!(*read.signature.as_ref().unwrap().mic, [1, 0, 255]);
        assert_eq!(
            header::to_string(&header::ProxyAuthorization(read.to_header())),
            signed
        );
    }

    // Bare numbers, as in MS-SIP section 4.1, and what a later server adds.
    // rules: A4
    #[test]
    fn the_proof_of_a_server() {
        let text = "NTLM rspauth=\"0100FF\", srand=98984345, snum=1, opaque=\"o\", qop=\"auth\", targetname=\"fe\", realm=\"r\", version=4";
        let header = info(text);
        let read = Info::read(&header).unwrap();
        let signature = read.signature.as_ref().unwrap();
        assert_eq!((&*signature.random, signature.number), ("98984345", 1));
        assert_eq!(*signature.mic, [1, 0, 255]);
        assert_eq!(
            header::to_string(&header::AuthenticationInfo(read.to_header())),
            text.replace("FF", "ff")
                .replace("98984345", "\"98984345\"")
                .replace("snum=1", "snum=\"1\"")
        );
        let unsigned = info("Kerberos gssapi-data=\"YII=\", targetname=\"sip/fe\", realm=\"r\"");
        let read = Info::read(&unsigned).unwrap();
        assert_eq!(
            (read.token.as_deref(), read.signature),
            (Some(&b"\x60\x82"[..]), None)
        );
    }

    // rules: A1, A4
    #[test]
    fn what_is_malformed_is_refused_with_the_reason() {
        let good = "NTLM realm=\"r\", targetname=\"t\", version=4, gssapi-data=\"\", crand=\"1\", cnum=\"1\", response=\"00\"";
        let long = format!("\"{}\"", "0".repeat(2 * Mic::MAX + 2));
        let known = [
            ("NTLM", "Digest", "not one of Microsoft's schemes"),
            ("realm", "x", "realm missing"),
            ("targetname", "x", "targetname missing"),
            ("version=4", "version=1", "bad version"),
            ("version=4", "version=+4", "bad version"),
            ("version=4", "version=\"\"", "bad version"),
            ("version=4", "qop=auth-int", "unknown qop"),
            ("data=\"\"", "data=\"A\"", "not base64"),
            ("crand", "x", "signature not whole"),
            ("cnum", "x", "signature not whole"),
            ("response", "x", "signature not whole"),
            ("cnum=\"1\"", "cnum=\"01\"", "bad message number"),
            ("cnum=\"1\"", "cnum=\"4294967296\"", "bad message number"),
            ("cnum=\"1\"", "cnum=\"-1\"", "bad message number"),
            ("cnum=\"1\"", "cnum=\"\"", "bad message number"),
            ("response=\"00\"", "response=\"0\"", "signature not hexadecimal"),
            ("response=\"00\"", "response=\"0g\"", "signature not hexadecimal"),
            ("response=\"00\"", "response=\"\"", "bad length of signature"),
            ("\"00\"", &*long, "bad length of signature"),
        ];
        assert!(Credentials::read(&credentials(good)).is_ok());
        for (part, instead, what) in known {
            let text = good.replacen(part, instead, 1);
            let error = ParseError::header(HeaderName::Authorization, what);
            assert_eq!(Credentials::read(&credentials(&text)), Err(error), "{text}");
        }
        let longest = good.replace("\"00\"", &format!("\"{}\"", "0".repeat(2 * Mic::MAX)));
        assert!(Credentials::read(&credentials(&longest)).is_ok());
        let error = ParseError::header(HeaderName::AuthenticationInfo, "not one of Microsoft's schemes");
        assert_eq!(Info::read(&info("realm=\"r\", targetname=\"t\"")), Err(error));
        let error = ParseError::header(HeaderName::WwwAuthenticate, "realm missing");
        assert_eq!(Challenge::read(&challenge("NTLM targetname=\"t\"")), Err(error));
    }

    // rules: A9
    #[test]
    fn debug_output_has_no_token_and_no_proof() {
        let header = credentials(
            "NTLM realm=\"r\", targetname=\"t\", gssapi-data=\"YWJjZGVm\", crand=\"1\", cnum=\"1\", response=\"616263\"",
        );
        let shown = format!("{:?}", Credentials::read(&header).unwrap());
        assert!(
            shown.contains("Mic(3 bytes)") && shown.contains("token: Some(6)"),
            "{shown}"
        );
        assert!(!shown.contains("97, 98") && !shown.contains("6162"), "{shown}");
    }

    fn texts<const N: usize>() -> impl Strategy<Value = [String; N]> {
        // What may stand in quotes that have no escapes.
        core::array::from_fn(|_| "[^\\p{Cc}\"]{0,12}")
    }

    fn scheme() -> impl Strategy<Value = Scheme> {
        prop::sample::select(&Scheme::ALL[..])
    }

    fn version() -> impl Strategy<Value = Option<Version>> {
        prop::option::of(prop::sample::select(&[Version::V2, Version::V3, Version::V4][..]))
    }

    fn token() -> impl Strategy<Value = Option<Vec<u8>>> {
        prop::option::of(prop::collection::vec(any::<u8>(), 0..40))
    }

    fn mic() -> impl Strategy<Value = Option<(u32, Mic)>> {
        prop::option::of((any::<u32>(), prop::collection::vec(any::<u8>(), 1..41)))
            .prop_map(|found| found.map(|(number, mic)| (number, Mic::new(&mic))))
    }

    proptest! {
        // rules: A1, A4
        #[test]
        fn what_is_written_is_read(
            [realm, target, opaque, random, sts_uri] in texts(),
            scheme in scheme(), version in version(), token in token(), mic in mic(), has: [bool; 2],
        ) {
            let opaque = has[0].then_some(&*opaque);
            let signature = mic.map(|(number, mic)| Signature { random: Cow::Borrowed(&*random), number, mic });
            let (realm, target) = (&*realm, &*target);

            let sts_uri = has[1].then_some(&*sts_uri);
            let asked = Challenge { scheme, realm, target, version, opaque, token: token.clone(), sts_uri };
            let value = header::to_string(&header::WwwAuthenticate(asked.to_header()));
            let header = challenge(&value);
            prop_assert_eq!(Challenge::read(&header), Ok(asked));

            let answer = Credentials { scheme, realm, target, opaque, version, token: token.clone(), signature: signature.clone() };
            let value = header::to_string(&header::Authorization(answer.to_header()));
            let header = credentials(&value);
            prop_assert_eq!(Credentials::read(&header), Ok(answer));

            let proof = Info { scheme, realm, target, opaque, version, token, signature };
            let value = header::to_string(&header::AuthenticationInfo(proof.to_header()));
            let header = info(&value);
            prop_assert_eq!(Info::read(&header), Ok(proof));
        }

        #[test]
        fn any_value_is_read_or_refused(value in "(NTLM|kerberos|TLS-DSK|Digest) ((realm|targetname|version|gssapi-data|crand|cnum|response|srand|snum|rspauth|qop) ?= ?(\"[0-9a-f=+/]{0,9}\"|[0-9a-f]{1,4}),? ?){0,9}") {
            if let Ok(header) = header::WwwAuthenticate::parse(&value) {
                let _ = Challenge::read(&header.0);
            }
            if let Ok(header) = header::Authorization::parse(&value) {
                let _ = Credentials::read(&header.0);
            }
            if let Ok(header) = header::AuthenticationInfo::parse(&value) {
                let _ = Info::read(&header.0);
            }
        }
    }
}
