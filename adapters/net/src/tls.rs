//! TLS over bytes: the configurations of the two roles and one session.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, BufRead, IoSlice, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, Connection, KeyLog, KeyLogFile, NoKeyLog, ServerConfig, ServerConnection,
    SignatureScheme,
};
use rustls_pki_types::ServerName;
use sansip::{CloseReason, PeerCertificate, TlsFailure, TlsFailureKind};

use crate::certificate;
use crate::failure::failure;
use crate::identity::{Identity, TlsConfigError, TlsConfigProblem, provider};
use crate::trust::{ChainVerifier, TrustStore};

/// How many bytes a session holds for the socket before [`TlsSession::write`] takes no more.
const SEND_BUFFER: usize = 64 * 1024;

/// How outgoing connections speak TLS. Cloning shares the parts.
///
/// Sessions are never resumed: every connection proves the chain, its validity and revocation anew.
#[derive(Clone)]
pub struct TlsClientConfig {
    rustls: Arc<ClientConfig>,
    identity: Option<Identity>,
}

impl TlsClientConfig {
    /// Starts a configuration that trusts the given roots.
    pub const fn builder(trust: TrustStore) -> TlsClientConfigBuilder {
        TlsClientConfigBuilder {
            trust,
            identity: None,
            key_log: false,
        }
    }

    /// The same configuration with another certificate to show, or none. Sessions that exist keep theirs
    /// (rule C34).
    #[must_use]
    pub fn with_identity(&self, identity: Option<Identity>) -> Self {
        let mut config = ClientConfig::clone(&self.rustls);
        config.client_auth_cert_resolver = client_resolver(identity.as_ref());
        Self {
            rustls: Arc::new(config),
            identity,
        }
    }

    /// Starts a handshake as the client. `name` is what the application asked for: it is sent as server name
    /// indication where it is a domain name, and not otherwise. It is not matched with the certificate here;
    /// the core does that with what [`TlsSession::peer`] tells (rule C17). `remote` is the address connected
    /// to.
    ///
    /// # Errors
    /// The library cannot start; not to be expected.
    pub fn connect(&self, name: &str, remote: IpAddr) -> Result<TlsSession, TlsFailure> {
        let name = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        let server_name = ServerName::try_from(name.to_owned())
            .unwrap_or_else(|_| ServerName::IpAddress(rustls_pki_types::IpAddr::from(remote)));
        let (config, asked) = if self.identity.is_some() {
            (Arc::clone(&self.rustls), None)
        } else {
            // A session of its own resolver, to learn whether the peer asked for the certificate that is
            // missing.
            let asked = Arc::new(AtomicBool::new(false));
            let mut config = ClientConfig::clone(&self.rustls);
            config.client_auth_cert_resolver = Arc::new(NoIdentity {
                asked: Arc::clone(&asked),
            });
            (Arc::new(config), Some(asked))
        };
        let connection =
            ClientConnection::new(config, server_name).map_err(|error| failure(&error, false))?;
        Ok(TlsSession::new(connection.into(), asked))
    }
}

impl fmt::Debug for TlsClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClientConfig")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Makes a [`TlsClientConfig`].
#[derive(Clone, Debug)]
pub struct TlsClientConfigBuilder {
    trust: TrustStore,
    identity: Option<Identity>,
    key_log: bool,
}

impl TlsClientConfigBuilder {
    /// The certificate to show to servers that ask for one; none unless called.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Whether the secrets of each session are appended to the file that the environment variable
    /// `SSLKEYLOGFILE` names, so that a dissector can read a capture. Off unless called: whoever has that
    /// file reads the traffic. Where it is not there yet it is made for its owner only (mode 0600).
    #[must_use]
    pub const fn key_log(mut self, on: bool) -> Self {
        self.key_log = on;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// The file of the key log cannot be written. The cryptographic library lacks a protocol version; not to be expected.
    pub fn build(self) -> Result<TlsClientConfig, TlsConfigError> {
        self.build_for(VERSIONS)
    }

    fn build_for(self, versions: Versions) -> Result<TlsClientConfig, TlsConfigError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(unsupported)?
            .dangerous()
            .with_custom_certificate_verifier(ChainVerifier::new(self.trust))
            .with_client_cert_resolver(client_resolver(self.identity.as_ref()));
        config.resumption = Resumption::disabled();
        config.key_log = key_log(self.key_log)?;
        Ok(TlsClientConfig {
            rustls: Arc::new(config),
            identity: self.identity,
        })
    }
}

/// How accepted connections speak TLS. Cloning shares the parts.
///
/// Sessions are never resumed: see [`TlsClientConfig`].
#[derive(Clone)]
pub struct TlsServerConfig {
    rustls: Arc<ServerConfig>,
    identity: Identity,
    mutual: bool,
}

impl TlsServerConfig {
    /// Starts a configuration that shows this certificate.
    pub const fn builder(identity: Identity) -> TlsServerConfigBuilder {
        TlsServerConfigBuilder {
            identity,
            clients: None,
            key_log: false,
        }
    }

    /// The same configuration with another certificate to show. Sessions that exist keep theirs (rule C34).
    #[must_use]
    pub fn with_identity(&self, identity: Identity) -> Self {
        let mut config = ServerConfig::clone(&self.rustls);
        config.cert_resolver = Arc::new(Shown(identity.certified_key()));
        Self {
            rustls: Arc::new(config),
            identity,
            mutual: self.mutual,
        }
    }

    /// Whether clients must show a certificate.
    pub const fn is_mutual(&self) -> bool {
        self.mutual
    }

    /// Waits for a handshake as the server.
    ///
    /// # Errors
    /// The library cannot start; not to be expected.
    pub fn accept(&self) -> Result<TlsSession, TlsFailure> {
        let connection =
            ServerConnection::new(Arc::clone(&self.rustls)).map_err(|error| failure(&error, false))?;
        Ok(TlsSession::new(connection.into(), None))
    }
}

impl fmt::Debug for TlsServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServerConfig")
            .field("identity", &self.identity)
            .field("mutual", &self.mutual)
            .finish_non_exhaustive()
    }
}

/// Makes a [`TlsServerConfig`].
#[derive(Clone, Debug)]
pub struct TlsServerConfigBuilder {
    identity: Identity,
    clients: Option<TrustStore>,
    key_log: bool,
}

impl TlsServerConfigBuilder {
    /// Mutual TLS: every client must show a certificate whose chain ends at one of these roots; the core then
    /// matches its name with the allow list (rule C18). Without this call clients are not asked for one.
    #[must_use]
    pub fn require_client_certificate(mut self, trust: TrustStore) -> Self {
        self.clients = Some(trust);
        self
    }

    /// As [`TlsClientConfigBuilder::key_log`].
    #[must_use]
    pub const fn key_log(mut self, on: bool) -> Self {
        self.key_log = on;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// The file of the key log cannot be written. The cryptographic library lacks a protocol version; not to be expected.
    pub fn build(self) -> Result<TlsServerConfig, TlsConfigError> {
        self.build_for(VERSIONS)
    }

    fn build_for(self, versions: Versions) -> Result<TlsServerConfig, TlsConfigError> {
        let mutual = self.clients.is_some();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(unsupported)?
            .with_client_cert_verifier(match self.clients {
                Some(trust) => ChainVerifier::new(trust),
                None => WebPkiClientVerifier::no_client_auth(),
            })
            .with_cert_resolver(Arc::new(Shown(self.identity.certified_key())));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.key_log = key_log(self.key_log)?;
        Ok(TlsServerConfig {
            rustls: Arc::new(config),
            identity: self.identity,
            mutual,
        })
    }
}

type Versions = &'static [&'static rustls::SupportedProtocolVersion];

static VERSIONS: Versions = &[&rustls::version::TLS13, &rustls::version::TLS12];

fn unsupported(error: rustls::Error) -> TlsConfigError {
    TlsConfigError::new(
        "the TLS library",
        TlsConfigProblem::Unsupported(error.to_string()),
    )
}

/// The library would make the file for everybody to read, and would say nothing where it cannot write it: so it is made, or
/// seen to be there, before.
fn key_log(on: bool) -> Result<Arc<dyn KeyLog>, TlsConfigError> {
    if !on {
        return Ok(Arc::new(NoKeyLog {}));
    }
    if let Some(path) = std::env::var_os("SSLKEYLOGFILE") {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).map_err(|error| {
            TlsConfigError::new(
                Path::new(&path).display().to_string(),
                TlsConfigProblem::Unwritable(error.to_string()),
            )
        })?;
    }
    Ok(Arc::new(KeyLogFile::new()))
}

fn client_resolver(identity: Option<&Identity>) -> Arc<dyn ResolvesClientCert> {
    match identity {
        Some(identity) => Arc::new(Shown(identity.certified_key())),
        None => Arc::new(NoIdentity {
            asked: Arc::default(),
        }),
    }
}

/// Shows one certificate to everybody.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Has nothing to show, and notes that it was asked.
#[derive(Debug)]
struct NoIdentity {
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for NoIdentity {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// One TLS connection as a machine over bytes: what the socket received goes in with
/// [`TlsSession::read_tls`], what the socket has to send comes out with [`TlsSession::write_tls`].
///
/// After every call that takes bytes in, ask [`TlsSession::wants_write`]: a handshake answers, and a failure
/// leaves an alert that the peer should still get. When [`TlsSession::is_handshaking`] has turned false the
/// connection is ready: report it with the certificate of [`TlsSession::peer`].
///
/// With TLS 1.3 a client is ready before the server has looked at its certificate: a server that refuses it
/// is reported by a failure of a connection that was ready already.
pub struct TlsSession {
    connection: Connection,
    /// Set by the resolver when the peer asked for a certificate; only where this side has none.
    asked: Option<Arc<AtomicBool>>,
    failure: Option<TlsFailure>,
    /// The peer has announced its end.
    closed: bool,
    /// This side has.
    closing: bool,
}

impl TlsSession {
    fn new(mut connection: Connection, asked: Option<Arc<AtomicBool>>) -> Self {
        connection.set_buffer_limit(Some(SEND_BUFFER));
        Self {
            connection,
            asked,
            failure: None,
            closed: false,
            closing: false,
        }
    }

    /// Takes bytes from the socket and appends what they decrypt to (never more than there were) to `plain`,
    /// which may be filled even where this fails: that data came before the fault. What follows the peer's
    /// close is ignored.
    ///
    /// # Errors
    /// The session has failed (rule C27), now or before. Send what is left to write (an alert), then close.
    pub fn read_tls(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsFailure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let mut rest = bytes;
        while !rest.is_empty() && !self.closed {
            let before = rest.len();
            if let Err(error) = self.connection.read_tls(&mut rest) {
                return Err(self.fail(TlsFailureKind::Other, error.to_string()));
            }
            let processed = self.connection.process_new_packets();
            self.drain(plain);
            match processed {
                Ok(state) => self.closed = state.peer_has_closed(),
                Err(error) => {
                    let unanswered = self
                        .asked
                        .as_ref()
                        .is_some_and(|asked| asked.load(Ordering::Relaxed));
                    let failure = failure(&error, unanswered);
                    return Err(self.fail(failure.kind, failure.detail));
                }
            }
            // The library takes bytes whenever its buffers are drained, as they are here; this guards the
            // loop all the same.
            if rest.len() == before && !self.closed {
                return Err(self.fail(
                    TlsFailureKind::Other,
                    "no progress with the received bytes".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn drain(&mut self, plain: &mut Vec<u8>) {
        let mut reader = self.connection.reader();
        while let Ok(chunk) = reader.fill_buf()
            && !chunk.is_empty()
        {
            let length = chunk.len();
            plain.extend_from_slice(chunk);
            reader.consume(length);
        }
    }

    fn fail(&mut self, kind: TlsFailureKind, detail: String) -> TlsFailure {
        self.failure.insert(TlsFailure { kind, detail }).clone()
    }

    /// The socket has ended: the reason to report. An end without the alert that announces it counts as
    /// orderly, for SIP messages carry their length; an end during the handshake is a failure.
    pub fn read_eof(&mut self) -> CloseReason {
        if self.failure.is_none() && self.connection.is_handshaking() {
            self.fail(TlsFailureKind::RemoteDisconnected, String::new());
        }
        self.failure.clone().map_or(CloseReason::Closed, CloseReason::Tls)
    }

    /// Takes data to send and says how many bytes it took: all, or fewer when the send buffer (64 KiB) fills,
    /// or none during the handshake, after a failure and after [`TlsSession::close`]. Nothing is ever taken
    /// before the peer has proved who it is.
    pub fn write(&mut self, parts: &[IoSlice<'_>]) -> usize {
        if self.failure.is_some() || self.closing || self.connection.is_handshaking() {
            return 0;
        }
        self.connection.writer().write_vectored(parts).unwrap_or(0)
    }

    /// Writes to the socket what it has to send, as far as it takes it in one call; says how many bytes those
    /// were.
    ///
    /// # Errors
    /// Those of the socket, `WouldBlock` among them.
    pub fn write_tls(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(socket)
    }

    /// Whether there are bytes for the socket.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Whether the handshake is still under way.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the peer has announced that it sends nothing more: to be treated like the end of the socket.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// What the peer's certificate says; none before the end of the handshake, and for a client that showed
    /// none.
    ///
    /// Chain, validity, revocation and usage are proved. **The names are not matched with anything**: hand
    /// this to the core as it is.
    pub fn peer(&self) -> Option<PeerCertificate> {
        if self.connection.is_handshaking() {
            return None;
        }
        // The verifier has read it before it accepted it, so this does not fail.
        self.connection
            .peer_certificates()?
            .first()
            .and_then(|end_entity| certificate::read(end_entity).ok())
    }

    /// Announces that this side sends nothing more; the announcement is then to be written.
    pub fn close(&mut self) {
        self.closing = true;
        self.connection.send_close_notify();
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("handshaking", &self.is_handshaking())
            .field("closed", &self.closed)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::PathBuf;

    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
        ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
        NameConstraints, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
    };
    use sansip::TlsFailureKind as Kind;

    use super::*;

    type Ca = CertifiedIssuer<'static, KeyPair>;

    fn ca(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ca::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A certificate without subjectAltName, usages or common name.
    fn bare() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        params
    }

    fn named(name: &str) -> CertificateParams {
        let mut params = bare();
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        params
    }

    fn issue(params: &CertificateParams, ca: &Ca) -> Identity {
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, ca).unwrap().pem();
        Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    fn trust(ca: &Ca) -> TrustStore {
        let mut trust = TrustStore::empty();
        assert_eq!(trust.add_pem(ca.pem().as_bytes()), Ok(1));
        trust
    }

    fn revocation_list(ca: &Ca, revoked: &[u8]) -> String {
        CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&[*serial]),
                    revocation_time: date_time_ymd(2024, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(ca)
        .unwrap()
        .pem()
        .unwrap()
    }

    fn client(trust: TrustStore) -> TlsClientConfig {
        TlsClientConfig::builder(trust).build().unwrap()
    }

    fn server(identity: Identity) -> TlsServerConfig {
        TlsServerConfig::builder(identity).build().unwrap()
    }

    fn connect(config: &TlsClientConfig) -> TlsSession {
        config
            .connect("sip.example.com", Ipv4Addr::LOCALHOST.into())
            .unwrap()
    }

    struct End {
        session: TlsSession,
        plain: Vec<u8>,
        result: Result<(), TlsFailure>,
    }

    impl End {
        const fn new(session: TlsSession) -> Self {
            Self {
                session,
                plain: Vec::new(),
                result: Ok(()),
            }
        }

        fn take(&mut self) -> Vec<u8> {
            let mut bytes = Vec::new();
            while self.session.wants_write() {
                self.session.write_tls(&mut bytes).unwrap();
            }
            bytes
        }

        fn give(&mut self, bytes: &[u8], chunk: usize) {
            for chunk in bytes.chunks(chunk) {
                let result = self.session.read_tls(chunk, &mut self.plain);
                if self.result.is_ok() {
                    self.result = result;
                }
            }
        }

        fn kind(&self) -> Option<Kind> {
            self.result.as_ref().err().map(|failure| failure.kind)
        }

        fn say(&mut self, text: &[u8]) -> usize {
            self.session.write(&[IoSlice::new(text)])
        }
    }

    struct Pair {
        client: End,
        server: End,
    }

    impl Pair {
        fn new(client: &TlsClientConfig, server: &TlsServerConfig) -> Self {
            Self {
                client: End::new(connect(client)),
                server: End::new(server.accept().unwrap()),
            }
        }

        fn shake(client: &TlsClientConfig, server: &TlsServerConfig) -> Self {
            let mut pair = Self::new(client, server);
            pair.run(4096);
            pair
        }

        /// Carries bytes both ways in chunks until there are none.
        fn run(&mut self, chunk: usize) {
            loop {
                let (there, back) = (self.client.take(), self.server.take());
                if there.is_empty() && back.is_empty() {
                    break;
                }
                self.server.give(&there, chunk);
                self.client.give(&back, chunk);
            }
        }

        fn assert_ready(&self) {
            assert_eq!((&self.client.result, &self.server.result), (&Ok(()), &Ok(())));
            assert!(!self.client.session.is_handshaking() && !self.server.session.is_handshaking());
        }
    }

    #[test]
    fn data_goes_both_ways_in_pieces_of_any_size_and_the_close_is_seen() {
        let ca = ca("root");
        let (client, server) = (client(trust(&ca)), server(issue(&named("sip.example.com"), &ca)));
        for chunk in [1, 7, 100_000] {
            let mut pair = Pair::new(&client, &server);
            assert_eq!(
                (pair.client.say(b"too early"), pair.client.session.peer()),
                (0, None)
            );
            pair.run(chunk);
            pair.assert_ready();
            let long = vec![b'x'; 40_000];
            let sent = pair
                .client
                .session
                .write(&[IoSlice::new(b"OPTIONS "), IoSlice::new(&long)]);
            assert_eq!((sent, pair.server.say(b"SIP/2.0 200 OK")), (40_008, 14));
            pair.run(chunk);
            assert_eq!(pair.client.plain, b"SIP/2.0 200 OK");
            assert_eq!(pair.server.plain, [b"OPTIONS ".as_slice(), &long].concat());
            pair.client.session.close();
            assert_eq!(pair.client.say(b"too late"), 0);
            pair.run(chunk);
            assert!(pair.server.session.is_closed() && !pair.client.session.is_closed());
            assert_eq!(pair.server.session.read_eof(), CloseReason::Closed);
            pair.assert_ready();
        }
    }

    #[test]
    fn the_send_buffer_is_bounded() {
        let ca = ca("root");
        let mut pair = Pair::shake(
            &client(trust(&ca)),
            &server(issue(&named("sip.example.com"), &ca)),
        );
        let much = vec![0; 1_000_000];
        let taken = pair.client.say(&much);
        assert!((32 * 1024..=SEND_BUFFER).contains(&taken), "{taken}");
        assert_eq!(pair.client.say(&much[..SEND_BUFFER]), 0);
        pair.run(4096);
        assert_eq!(pair.server.plain.len(), taken);
        assert!(pair.client.say(b"again") == 5);
    }

    #[test]
    fn tls_1_2_is_spoken_too() {
        static ONLY: Versions = &[&rustls::version::TLS12];
        let ca = ca("root");
        let client = TlsClientConfig::builder(trust(&ca)).build_for(ONLY).unwrap();
        let mut pair = Pair::shake(&client, &server(issue(&named("sip.example.com"), &ca)));
        pair.assert_ready();
        assert_eq!(pair.server.say(b"hello"), 5);
        pair.run(4096);
        assert_eq!(pair.client.plain, b"hello");
    }

    // rules: C17, C20
    #[test]
    fn the_names_and_usages_are_reported_and_never_matched() {
        let ca = ca("root");
        let mut params = bare();
        params.subject_alt_names = vec![
            SanType::Rfc822Name("someone@example.com".try_into().unwrap()),
            SanType::DnsName("Other.example.net".try_into().unwrap()),
            SanType::DnsName("*.example.net".try_into().unwrap()),
            SanType::URI("sip:example.net".try_into().unwrap()),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
        ];
        params
            .distinguished_name
            .push(DnType::CommonName, "a common name");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 20]),
        ];
        let pair = Pair::shake(&client(trust(&ca)), &server(issue(&params, &ca)));
        pair.assert_ready();
        let expected = PeerCertificate {
            dns_names: vec!["Other.example.net".to_owned(), "*.example.net".to_owned()],
            uris: vec!["sip:example.net".to_owned()],
            addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            common_name: Some("a common name".to_owned()),
            key_usages: vec!["1.3.6.1.5.5.7.3.1".to_owned(), "1.3.6.1.5.5.7.3.20".to_owned()],
        };
        assert_eq!(pair.client.session.peer(), Some(expected));
        assert_eq!(pair.server.session.peer(), None);
    }

    // rules: C17
    #[test]
    fn the_common_name_is_left_out_beside_a_subject_alt_name_that_names_no_host() {
        let ca = ca("root");
        for (email, expected) in [
            (None, Some("sip.example.com".to_owned())),
            (Some("a@example.com"), None),
        ] {
            let mut params = bare();
            params
                .distinguished_name
                .push(DnType::CommonName, "sip.example.com");
            params
                .subject_alt_names
                .extend(email.map(|email| SanType::Rfc822Name(email.try_into().unwrap())));
            let pair = Pair::shake(&client(trust(&ca)), &server(issue(&params, &ca)));
            pair.assert_ready();
            let expected = PeerCertificate {
                common_name: expected,
                ..PeerCertificate::default()
            };
            assert_eq!(pair.client.session.peer(), Some(expected));
        }
    }

    // rules: C27
    #[test]
    fn a_bad_server_certificate_is_refused_by_its_own_kind() {
        let (root, stranger, namesake) = (ca("root"), ca("stranger"), ca("root"));
        let with = |change: fn(&mut CertificateParams)| {
            let mut params = named("sip.example.com");
            change(&mut params);
            params
        };
        let expired = with(|params| params.not_after = date_time_ymd(2021, 1, 1));
        let future = with(|params| params.not_before = date_time_ymd(4000, 1, 1));
        let client_only =
            with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        let code = with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]);
        let issuer = with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        let good = named("sip.example.com");
        for (what, params, ca, expected) in [
            ("expired", &expired, &root, Kind::CertificateExpired),
            ("not yet valid", &future, &root, Kind::CertificateExpired),
            (
                "of a stranger",
                &good,
                &stranger,
                Kind::UntrustedRemoteCertificate,
            ),
            (
                "of a root's namesake",
                &good,
                &namesake,
                Kind::UntrustedRemoteCertificate,
            ),
            (
                "an issuer's own",
                &issuer,
                &root,
                Kind::UntrustedRemoteCertificate,
            ),
            (
                "for clients",
                &client_only,
                &root,
                Kind::RemoteCertificateInvalidUsage,
            ),
            ("for code", &code, &root, Kind::RemoteCertificateInvalidUsage),
        ] {
            let mut pair = Pair::shake(&client(trust(&root)), &server(issue(params, ca)));
            assert_eq!(pair.client.kind(), Some(expected), "{what}");
            // The server is told by an alert, and what this side says is never taken.
            assert!(pair.server.kind().is_some(), "{what}");
            assert_eq!(
                (pair.client.say(b"x"), pair.client.session.peer()),
                (0, None),
                "{what}"
            );
            assert_eq!(
                pair.client.session.read_eof(),
                CloseReason::Tls(pair.client.result.unwrap_err())
            );
        }
    }

    // rules: C20
    #[test]
    fn the_usage_of_a_sip_domain_serves_both_roles() {
        let ca = ca("root");
        let mut params = named("sip.example.com");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 20])];
        let identity = issue(&params, &ca);
        let client = TlsClientConfig::builder(trust(&ca))
            .identity(identity.clone())
            .build()
            .unwrap();
        let server = TlsServerConfig::builder(identity)
            .require_client_certificate(trust(&ca))
            .build()
            .unwrap();
        Pair::shake(&client, &server).assert_ready();
    }

    #[test]
    fn an_intermediate_has_to_be_sent_and_its_constraints_hold() {
        let root = ca("root");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".to_owned())],
            excluded_subtrees: vec![],
        });
        let intermediate = Ca::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
        for (name, sent, expected) in [
            ("sip.example.com", true, None),
            ("sip.example.com", false, Some(Kind::UntrustedRemoteCertificate)),
            ("sip.example.net", true, Some(Kind::UntrustedRemoteCertificate)),
        ] {
            let key = KeyPair::generate().unwrap();
            let mut chain = named(name).signed_by(&key, &intermediate).unwrap().pem();
            if sent {
                chain.push_str(&intermediate.pem());
            }
            let identity = Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
            let pair = Pair::shake(&client(trust(&root)), &server(identity));
            assert_eq!(pair.client.kind(), expected, "{name} {sent}");
        }
    }

    // rules: C27
    #[test]
    fn revocation_lists_are_enforced() {
        let (root, other) = (ca("root"), ca("other"));
        let serial = |number: u8| {
            let mut params = named("sip.example.com");
            params.serial_number = Some(SerialNumber::from_slice(&[number]));
            server(issue(&params, &root))
        };
        let (revoked, good) = (serial(7), serial(8));
        let mut listed = trust(&root);
        assert_eq!(listed.add_crl(revocation_list(&root, &[7]).as_bytes()), Ok(1));
        let mut elsewhere = trust(&root);
        elsewhere
            .add_crl(revocation_list(&other, &[7]).as_bytes())
            .unwrap();
        let mut lenient = elsewhere.clone();
        lenient.allow_unknown_revocation();
        // A list that only claims to be of this issuer.
        let mut forged = trust(&root);
        forged
            .add_crl(revocation_list(&ca("root"), &[]).as_bytes())
            .unwrap();
        for (what, trust, server, expected) in [
            ("revoked", &listed, &revoked, Some(Kind::RemoteCertificateRevoked)),
            ("not revoked", &listed, &good, None),
            (
                "no list of this issuer",
                &elsewhere,
                &good,
                Some(Kind::UntrustedRemoteCertificate),
            ),
            ("no list of this issuer, allowed", &lenient, &good, None),
            (
                "forged list",
                &forged,
                &good,
                Some(Kind::UntrustedRemoteCertificate),
            ),
        ] {
            assert_eq!(
                Pair::shake(&client(trust.clone()), server).client.kind(),
                expected,
                "{what}"
            );
        }
    }

    // rules: C18, C27
    #[test]
    fn mutual_tls_demands_a_certificate_of_a_trusted_root() {
        static OLD: Versions = &[&rustls::version::TLS12];
        let (root, stranger) = (ca("root"), ca("stranger"));
        let server = TlsServerConfig::builder(issue(&named("sip.example.com"), &root))
            .require_client_certificate(trust(&root))
            .build()
            .unwrap();
        assert!(server.is_mutual());
        let mut server_only = named("client.example.com");
        server_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let mut expired = named("client.example.com");
        expired.not_after = date_time_ymd(2021, 1, 1);
        let refused = Some(Kind::NegotiationFailure);
        let cases = [
            (
                "none",
                None,
                Some(Kind::UntrustedRemoteCertificate),
                Some(Kind::LocalCertificateNotFound),
            ),
            (
                "good",
                Some(issue(&named("client.example.com"), &root)),
                None,
                None,
            ),
            (
                "of a stranger",
                Some(issue(&named("client.example.com"), &stranger)),
                Some(Kind::UntrustedRemoteCertificate),
                // decrypt_error or unknown_ca: the alert that rustls chooses is the peer's refusal all the
                // same.
                refused,
            ),
            (
                "expired",
                Some(issue(&expired, &root)),
                Some(Kind::CertificateExpired),
                refused,
            ),
            (
                "for servers",
                Some(issue(&server_only, &root)),
                Some(Kind::RemoteCertificateInvalidUsage),
                refused,
            ),
        ];
        for versions in [VERSIONS, OLD] {
            for (what, identity, at_server, at_client) in &cases {
                let mut builder = TlsClientConfig::builder(trust(&root));
                if let Some(identity) = identity {
                    builder = builder.identity(identity.clone());
                }
                let pair = Pair::shake(&builder.build_for(versions).unwrap(), &server);
                assert_eq!(pair.server.kind(), *at_server, "{what}");
                assert_eq!(pair.client.kind(), *at_client, "{what}");
                let names = pair.server.session.peer().map(|peer| peer.dns_names);
                let good = at_server.is_none().then(|| vec!["client.example.com".to_owned()]);
                assert_eq!(names, good, "{what}");
            }
        }
    }

    // rules: C34
    #[test]
    fn a_replaced_certificate_is_shown_to_new_connections_only() {
        let ca = ca("root");
        let old = server(issue(&named("old.example.com"), &ca));
        let client = client(trust(&ca));
        let mut first = Pair::shake(&client, &old);
        let new = old.with_identity(issue(&named("new.example.com"), &ca));
        let second = Pair::shake(&client, &new);
        let names = |pair: &Pair| pair.client.session.peer().map(|peer| peer.dns_names);
        assert_eq!(names(&second), Some(vec!["new.example.com".to_owned()]));
        assert_eq!(names(&first), Some(vec!["old.example.com".to_owned()]));
        assert_eq!(first.client.say(b"still here"), 10);
        first.run(4096);
        assert_eq!(first.server.plain, b"still here");
    }

    // rules: C34
    #[test]
    fn a_replaced_client_certificate_is_shown_to_new_connections() {
        let ca = ca("root");
        let server = TlsServerConfig::builder(issue(&named("sip.example.com"), &ca))
            .require_client_certificate(trust(&ca))
            .build()
            .unwrap();
        let none = client(trust(&ca));
        let some = none.with_identity(Some(issue(&named("client.example.com"), &ca)));
        Pair::shake(&some, &server).assert_ready();
        let none_again = some.with_identity(None);
        for config in [none, none_again] {
            let pair = Pair::shake(&config, &server);
            assert_eq!(pair.client.kind(), Some(Kind::LocalCertificateNotFound));
        }
    }

    // rules: C27
    #[test]
    fn an_end_during_the_handshake_is_a_disconnection() {
        let ca = ca("root");
        let (client, server) = (client(trust(&ca)), server(issue(&named("sip.example.com"), &ca)));
        let gone = CloseReason::Tls(TlsFailure {
            kind: Kind::RemoteDisconnected,
            detail: String::new(),
        });
        let mut pair = Pair::new(&client, &server);
        let hello = pair.client.take();
        pair.server.give(&hello, 100);
        assert_eq!(
            (pair.server.session.read_eof(), pair.client.session.read_eof()),
            (gone.clone(), gone)
        );
        // The failure stays.
        assert_eq!(
            pair.server.session.read_tls(b"x", &mut vec![]).unwrap_err().kind,
            Kind::RemoteDisconnected
        );

        // An announcement that nobody has signed changes nothing: it is the end that counts.
        let mut client = End::new(connect(&client));
        client.give(&[21, 3, 3, 0, 2, 1, 0], 100);
        assert_eq!((client.kind(), client.session.is_closed()), (None, false));
        assert!(
            matches!(client.session.read_eof(), CloseReason::Tls(failure) if failure.kind == Kind::RemoteDisconnected)
        );
    }

    // rules: C27
    #[test]
    fn an_end_without_announcement_after_the_handshake_is_an_orderly_close() {
        let ca = ca("root");
        let mut pair = Pair::shake(
            &client(trust(&ca)),
            &server(issue(&named("sip.example.com"), &ca)),
        );
        assert_eq!(pair.server.session.read_eof(), CloseReason::Closed);
        assert_eq!(pair.client.session.read_eof(), CloseReason::Closed);
    }

    // rules: C27, C28
    #[test]
    fn garbage_and_foreign_versions_are_failures_at_once() {
        let ca = ca("root");
        let (client, server) = (client(trust(&ca)), server(issue(&named("sip.example.com"), &ca)));
        let mut end = End::new(server.accept().unwrap());
        end.give(b"REGISTER sip:example.com SIP/2.0\r\n", 100);
        assert_eq!(end.kind(), Some(Kind::Other));

        // A fatal alert 70, protocol_version (RFC 8446 section 6).
        let mut end = End::new(connect(&client));
        end.give(&[21, 3, 1, 0, 2, 2, 70], 100);
        assert_eq!(end.kind(), Some(Kind::NegotiationFailure));

        // A ServerHello of TLS 1.0 with TLS_RSA_WITH_AES_128_CBC_SHA (RFC 2246 section 7.4.1.3).
        let hello = [[2, 0, 0, 38, 3, 1].as_slice(), &[9; 32], &[0, 0, 0x2f, 0]].concat();
        let mut end = End::new(connect(&client));
        end.give(&[[22, 3, 1, 0, 42].as_slice(), &hello].concat(), 100);
        assert_eq!(end.kind(), Some(Kind::NegotiationFailure));
    }

    #[test]
    fn no_common_version_is_a_negotiation_failure_on_both_sides() {
        static OLD: Versions = &[&rustls::version::TLS12];
        static NEW: Versions = &[&rustls::version::TLS13];
        let ca = ca("root");
        let client = TlsClientConfig::builder(trust(&ca)).build_for(OLD).unwrap();
        let server = TlsServerConfig::builder(issue(&bare(), &ca))
            .build_for(NEW)
            .unwrap();
        let pair = Pair::shake(&client, &server);
        assert_eq!(pair.client.kind(), Some(Kind::NegotiationFailure));
        assert_eq!(pair.server.kind(), Some(Kind::NegotiationFailure));
    }

    #[test]
    fn a_broken_record_fails_but_the_data_before_it_arrives() {
        let ca = ca("root");
        for chunk in [1, 4096] {
            let mut pair = Pair::shake(
                &client(trust(&ca)),
                &server(issue(&named("sip.example.com"), &ca)),
            );
            pair.client.say(b"good");
            let mut bytes = pair.client.take();
            pair.client.say(b"bad");
            bytes.extend(pair.client.take());
            *bytes.last_mut().unwrap() ^= 1;
            pair.server.give(&bytes, chunk);
            assert_eq!(
                (pair.server.plain.as_slice(), pair.server.kind()),
                (b"good".as_slice(), Some(Kind::Other))
            );
            assert!(pair.server.session.wants_write(), "the alert for the peer");
        }
    }

    #[test]
    fn only_domain_names_are_sent_as_server_name() {
        let client = client(TrustStore::empty());
        for (name, is_sent) in [
            ("sip.example.com", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
            ("[2001:db8::1]", false),
            ("no name at all", false),
            ("", false),
        ] {
            let mut hello = Vec::new();
            let mut session = client.connect(name, Ipv4Addr::LOCALHOST.into()).unwrap();
            session.write_tls(&mut hello).unwrap();
            // The extension's data (RFC 6066 section 3) holds the name as it is.
            let found = hello.windows(15).any(|window| window == b"sip.example.com");
            assert_eq!(found, is_sent, "{name}");
        }
    }

    #[test]
    fn the_key_is_in_no_debug_output() {
        let ca = ca("root");
        let identity = issue(&named("sip.example.com"), &ca);
        let server = server(identity.clone());
        let client = client(trust(&ca)).with_identity(Some(identity.clone()));
        assert_eq!(format!("{identity:?}"), "Identity(1 certificates, key ..)");
        assert_eq!(
            format!("{server:?}"),
            "TlsServerConfig { identity: Identity(1 certificates, key ..), mutual: false, .. }"
        );
        assert_eq!(
            format!("{client:?}"),
            "TlsClientConfig { identity: Some(Identity(1 certificates, key ..)), .. }"
        );
        assert_eq!(
            format!("{:?}", trust(&ca)),
            "TrustStore { roots: 1, system: false, revocation_lists: 0, .. }"
        );
    }

    fn problem<T: fmt::Debug>(result: Result<T, TlsConfigError>) -> (String, TlsConfigProblem) {
        let error = result.unwrap_err();
        (error.origin, error.problem)
    }

    #[test]
    fn what_is_wrong_with_a_given_certificate_or_key_is_said() {
        let root = ca("root");
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let chain = named("sip.example.com").signed_by(&key, &root).unwrap().pem();
        let (key, other) = (key.serialize_pem(), other.serialize_pem());
        let load = |chain: &str, key: &str| problem(Identity::from_pem(chain.as_bytes(), key.as_bytes()));
        let (at_chain, at_key) = ("the certificate chain".to_owned(), "the private key".to_owned());
        assert_eq!(
            load("", &key),
            (at_chain.clone(), TlsConfigProblem::NoCertificate)
        );
        assert_eq!(
            load(&key, &key),
            (at_chain.clone(), TlsConfigProblem::NoCertificate)
        );
        assert_eq!(
            load(&chain, &chain),
            (at_key.clone(), TlsConfigProblem::NoPrivateKey)
        );
        assert_eq!(
            load(&chain, &other),
            (at_key.clone(), TlsConfigProblem::KeyMismatch)
        );
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert_eq!(
            load(&chain, &encrypted),
            (at_key.clone(), TlsConfigProblem::EncryptedPrivateKey)
        );
        let cut = chain.replace("-----END CERTIFICATE-----", "");
        let missing = TlsConfigProblem::BadPem("a section CERTIFICATE has no end".to_owned());
        assert_eq!(load(&cut, &key), (at_chain.clone(), missing));
        let nonsense = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        assert!(matches!(load(&chain, nonsense), (at, TlsConfigProblem::BadPrivateKey(_)) if at == at_key));
        let nonsense = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert!(matches!(load(nonsense, &key), (at, TlsConfigProblem::BadCertificate(_)) if at == at_chain));
        let mut trust = TrustStore::empty();
        assert!(matches!(
            problem(trust.add_pem(nonsense.as_bytes())).1,
            TlsConfigProblem::BadCertificate(_)
        ));
        assert_eq!(
            problem(trust.add_crl(chain.as_bytes())).1,
            TlsConfigProblem::NoRevocationList
        );
        assert!(matches!(
            problem(trust.add_crl(&[0x30, 0])).1,
            TlsConfigProblem::BadRevocationList(_)
        ));
        assert_eq!(trust.load(), Ok(0));
    }

    /// A folder that goes when the test does.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sansip-net-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Runs one test of this binary in a process of its own, where an environment variable is set.
    fn run_in_child(test: &str, variable: &str, value: &Path, part: &str) {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("tls::tests::{test}"), "--nocapture"])
            .env_remove("SSL_CERT_DIR")
            .env(variable, value)
            .env("SANSIP_NET_TEST_PART", part)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[test]
    fn the_key_log_is_written_only_when_asked_for() {
        if let Ok(part) = std::env::var("SANSIP_NET_TEST_PART") {
            let ca = ca("root");
            let client = TlsClientConfig::builder(trust(&ca))
                .key_log(part == "client")
                .build()
                .unwrap();
            let identity = issue(&named("sip.example.com"), &ca);
            let server = TlsServerConfig::builder(identity)
                .key_log(part == "server")
                .build()
                .unwrap();
            return Pair::shake(&client, &server).assert_ready();
        }
        let folder = Folder::new("keys");
        for part in ["none", "client", "server"] {
            let log = folder.0.join(part);
            run_in_child(
                "the_key_log_is_written_only_when_asked_for",
                "SSLKEYLOGFILE",
                &log,
                part,
            );
            let written = std::fs::read_to_string(&log).unwrap_or_default();
            assert_eq!(
                written.contains("CLIENT_TRAFFIC_SECRET_0 "),
                part != "none",
                "{part}: {written}"
            );
            #[cfg(unix)]
            if part != "none" {
                use std::os::unix::fs::PermissionsExt;
                let mode = std::fs::metadata(&log).unwrap().permissions().mode();
                assert_eq!(mode & 0o7777, 0o600, "{part}");
            }
        }
    }

    #[test]
    fn the_roots_of_the_system_are_read_when_they_are_needed() {
        const NAME: &str = "the_roots_of_the_system_are_read_when_they_are_needed";
        let part = std::env::var("SANSIP_NET_TEST_PART");
        if part.as_deref() == Ok("none") {
            let none = problem(TrustStore::system().load());
            assert_eq!(none.0, "the system's certificate store");
            return assert!(matches!(none.1, TlsConfigProblem::NoSystemRoots(_)), "{none:?}");
        }
        let (root, own) = (ca("root"), ca("own"));
        if part.is_ok() {
            let mut trust = TrustStore::system();
            assert_eq!(
                (trust.load(), trust.add_pem(own.pem().as_bytes()), trust.load()),
                (Ok(1), Ok(1), Ok(2))
            );
            return Pair::shake(&client(trust), &server(issue(&named("sip.example.com"), &own)))
                .assert_ready();
        }
        let folder = Folder::new("system");
        run_in_child(
            NAME,
            "SSL_CERT_FILE",
            &folder.file("roots.pem", &root.pem()),
            "one",
        );
        run_in_child(NAME, "SSL_CERT_FILE", &folder.file("empty.pem", ""), "none");
    }

    #[test]
    fn files_are_read_and_named_in_errors() {
        let folder = Folder::new("files");
        let root = ca("root");
        let key = KeyPair::generate().unwrap();
        let chain = named("sip.example.com").signed_by(&key, &root).unwrap().pem();
        let both = folder.file("both.pem", &format!("a comment\n{}{chain}", key.serialize_pem()));
        let roots = folder.file("roots.pem", &format!("{}{}", root.pem(), ca("another").pem()));
        let list = folder.file("list.pem", &revocation_list(&root, &[]));
        let mut trust = TrustStore::empty();
        assert_eq!(
            (trust.add_pem_file(&roots), trust.add_crl_file(&list)),
            (Ok(2), Ok(1))
        );
        Pair::shake(
            &client(trust.clone()),
            &server(Identity::from_pem_files(&both, &both).unwrap()),
        )
        .assert_ready();

        let nowhere = folder.0.join("nowhere.pem");
        for result in [
            Identity::from_pem_files(&nowhere, &both).map(|_| 0),
            Identity::from_pem_files(&both, &nowhere).map(|_| 0),
            trust.add_pem_file(&nowhere),
            trust.add_crl_file(&nowhere),
        ] {
            let (origin, problem) = problem(result);
            assert_eq!(origin, nowhere.display().to_string());
            assert!(matches!(problem, TlsConfigProblem::Unreadable(_)));
        }
        let error = Identity::from_pem_files(&list, &both).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{}: holds no certificate", list.display())
        );
    }
}
