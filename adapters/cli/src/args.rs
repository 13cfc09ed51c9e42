//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use sansip::security::digest::Algorithm;
use sansip::security::signing::Version;
use sansip::wire::uri::Uri;
use sansip::wire::{Method, StatusCode};
use sansip::{AuthenticationProtocol, ReliableResponses, RouteRecovery, Transport};
use sansip_testkit::frontend::Protocol;
use tracing_subscriber::filter::Targets;

use crate::address::{Hop, ListenAt};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.\n\
    Ctrl-C ends calls, unsubscribes, removes what was published, unregisters and stops; with --drain it lets calls come to their end first. A second one stops at once.";

/// A SIP endpoint for the command line, over TCP and TLS.
#[derive(Debug, Parser)]
#[command(name = "sansip", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print one JSON object a line instead of readable lines
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch two endpoints register, message and call each other through a server, all on loopback
    Demo(DemoArgs),
    /// Run a registrar and proxy for a laboratory (no server for the open Internet)
    Serve(ServeArgs),
    /// Register and stay registered; answer calls and messages
    Register(RegisterArgs),
    /// Send a text message
    Message(MessageArgs),
    /// Ask a peer what it can do
    Options(OptionsArgs),
    /// Call a peer
    Call(CallArgs),
    /// Watch the state of somebody, such as their presence, until Ctrl-C
    Watch(WatchArgs),
    /// Publish our own state, such as our presence, until Ctrl-C
    Publish(PublishArgs),
    /// Answer calls and messages of peers, without a server
    Listen(ListenArgs),
    /// Judge one SIP message, or find the messages in a byte stream
    Inspect(InspectArgs),
    /// Draw the SIP messages in a capture (pcap or pcapng), one arrow each
    Ladder(LadderArgs),
    /// Play a recording again, draw its messages, and check that the stack does the same
    Replay(ReplayArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TransportArg {
    Tcp,
    Tls,
}

impl From<TransportArg> for Transport {
    fn from(arg: TransportArg) -> Self {
        match arg {
            TransportArg::Tcp => Self::Tcp,
            TransportArg::Tls => Self::Tls,
        }
    }
}

/// How a user is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolArg {
    Kerberos,
    Ntlm,
    Digest,
}

impl ProtocolArg {
    pub(crate) const fn protocols(self) -> &'static [AuthenticationProtocol] {
        match self {
            Self::Kerberos => &[AuthenticationProtocol::Kerberos],
            Self::Ntlm => &[AuthenticationProtocol::Ntlm],
            Self::Digest => &[
                AuthenticationProtocol::DigestMd5,
                AuthenticationProtocol::DigestSha256,
                AuthenticationProtocol::DigestSha512_256,
            ],
        }
    }
}

/// The request that changes a session.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ChangeArg {
    Invite,
    Update,
}

impl From<ChangeArg> for Method {
    fn from(arg: ChangeArg) -> Self {
        match arg {
            ChangeArg::Invite => Self::Invite,
            ChangeArg::Update => Self::Update,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ReliableArg {
    Supported,
    Required,
}

impl From<ReliableArg> for ReliableResponses {
    fn from(arg: ReliableArg) -> Self {
        match arg {
            ReliableArg::Supported => Self::Supported,
            ReliableArg::Required => Self::Required,
        }
    }
}

/// How long a route is looked for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RecoveryArg {
    Limited,
    Maximum,
}

impl From<RecoveryArg> for RouteRecovery {
    fn from(arg: RecoveryArg) -> Self {
        match arg {
            RecoveryArg::Limited => Self::LimitedRetry,
            RecoveryArg::Maximum => Self::MaximumRetry,
        }
    }
}

/// Who we are and how we speak TLS.
#[derive(Args, Debug)]
pub(crate) struct IdentityArgs {
    /// Our endpoint id, 1 to 16 letters and digits (made by chance if absent)
    #[arg(long, value_name = "EPID")]
    pub(crate) epid: Option<String>,
    /// The name shown to people
    #[arg(long, value_name = "NAME")]
    pub(crate) display_name: Option<String>,
    /// A header field in every request we send (repeatable)
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// PEM file with the roots that servers' certificates must lead to (the system's roots if absent)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// File with a list of revoked certificates, PEM or DER (repeatable); with one, every issuer needs its list
    #[arg(long, value_name = "FILE")]
    pub(crate) crl: Vec<PathBuf>,
    /// PEM file with our certificate and those that issued it
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// PEM file with the private key of --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Append TLS secrets to the file that SSLKEYLOGFILE names, for a dissector
    #[arg(long)]
    pub(crate) key_log: bool,
    /// Print at the end what the stack has counted: messages, transactions, connections, refusals and the rest
    #[arg(long)]
    pub(crate) counters: bool,
    /// Log to standard error: error, warn, info, debug or trace, or a list such as info,sansip::connection=debug
    #[arg(long, value_name = "LEVEL|FILTER", value_parser = log_filter)]
    pub(crate) log: Option<Targets>,
}

/// What is kept of a run.
#[derive(Args, Debug)]
pub(crate) struct KeepArgs {
    /// Write a capture (pcapng) of what passes; in plain over TLS, too, so keep the file to yourself
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Record all that the stack is told, for the command replay; without passwords, but keep the file to yourself
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// End the recording before it is longer than this
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = record_limit, requires = "record")]
    pub(crate) record_limit: usize,
}

/// A SipEndpoint at a server, or a peer-to-peer endpoint.
#[derive(Args, Debug)]
pub(crate) struct AccountArgs {
    /// The server that we register with (found through the domain of --user if absent)
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) server: Option<Hop>,
    /// The transport to the server, the proxy or the peer
    #[arg(long, value_enum)]
    pub(crate) transport: Option<TransportArg>,
    /// Our address, such as sip:alice@example.com
    #[arg(long, value_name = "URI", value_parser = sip_uri)]
    pub(crate) user: String,
    /// The name of our account, if it is not the user part of --user
    #[arg(long, value_name = "NAME")]
    pub(crate) auth_user: Option<String>,
    /// File whose first line is the password; - reads it from standard input
    #[arg(long, value_name = "FILE|-")]
    pub(crate) password_file: Option<String>,
    /// How the user may be proved; of what the server offers, the strongest is used (by default, all)
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',')]
    pub(crate) auth: Vec<ProtocolArg>,
    /// Without a password, log on with Kerberos as whoever has the ticket cache
    #[arg(long)]
    pub(crate) default_credential: bool,
    /// The Windows domain of the account, the realm of Kerberos: the server has to ask for the user then
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Option<String>,
    /// Answer NTLM over TCP, too, where who listens can try passwords on the answer
    #[arg(long)]
    pub(crate) ntlm_over_tcp: bool,
    /// Of a server that signs its messages, take nothing that is not signed
    #[arg(long)]
    pub(crate) strict_signatures: bool,
    /// The lowest version of signatures that is spoken with a server: 2, 3 or 4
    #[arg(long, value_name = "2|3|4", value_parser = value_parser!(u8).range(2..=4), default_value_t = 3)]
    pub(crate) least_signature_version: u8,
    /// How long a registration is asked to last
    #[arg(long, value_name = "SECS")]
    pub(crate) expires: Option<u64>,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Give up an attempt after so long (by default SIP's own 32 s for an answer, 180 s for a call)
    #[arg(long, value_name = "SECS")]
    pub(crate) timeout: Option<u64>,
}

/// What makes it a peer-to-peer endpoint.
#[derive(Args, Debug)]
pub(crate) struct PeerArgs {
    /// Go to the peer directly, as a peer-to-peer endpoint without a server
    #[arg(long, conflicts_with_all = ["server", "password_file", "auth_user", "expires"])]
    pub(crate) direct: bool,
    /// Go through this proxy, as a peer-to-peer endpoint that does not register
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with_all = ["server", "direct", "password_file", "auth_user", "expires"])]
    pub(crate) proxy: Option<Hop>,
    /// For a peer-to-peer endpoint: where the peer can reach us, as tcp:ADDR:PORT or tls:ADDR:PORT
    #[arg(long, value_name = "tcp|tls:ADDR:PORT", conflicts_with = "server")]
    pub(crate) listen: Option<ListenAt>,
    /// For an endpoint at a server: send without registering first
    #[arg(long, conflicts_with_all = ["direct", "proxy"])]
    pub(crate) no_register: bool,
}

impl PeerArgs {
    pub(crate) const fn is_peer_to_peer(&self) -> bool {
        self.direct || self.proxy.is_some()
    }
}

/// What holds for calls both ways.
#[derive(Args, Debug)]
pub(crate) struct SessionArgs {
    /// Have the provisional responses to calls acknowledged: where the other side can, or always (they are not if absent)
    #[arg(long, value_enum)]
    pub(crate) reliable: Option<ReliableArg>,
    /// Count a call as dead when nobody has refreshed it for so long, 90 or more (only where the peer asks for it if absent)
    #[arg(long, value_name = "SECS")]
    pub(crate) session_timer: Option<u64>,
    /// Where a proxy of Microsoft's has lost the route of a call, recover it: for 3 minutes, or as long as it takes
    #[arg(long, value_enum, value_name = "PATIENCE")]
    pub(crate) recover_route: Option<RecoveryArg>,
}

/// What becomes of calls and messages that come in.
#[derive(Args, Clone, Debug)]
pub(crate) struct AnswerArgs {
    /// The answer to calls: 200 takes them, 400 to 699 refuses them
    #[arg(long, value_name = "STATUS", value_parser = final_status)]
    pub(crate) answer: Option<StatusCode>,
    /// Say after how long to try again, in the refusal of a call
    #[arg(long, value_name = "SECS", requires = "answer")]
    pub(crate) retry_after: Option<u32>,
    /// Answer the offer of a call at once, in a 183, and wait so long before anything else
    #[arg(long, value_name = "MS")]
    pub(crate) early: Option<u64>,
    /// Ring so long before answering
    #[arg(long, value_name = "MS")]
    pub(crate) ring: Option<u64>,
    /// Put a call on hold when it begins, by this request
    #[arg(long, value_enum, value_name = "REQUEST")]
    pub(crate) hold: Option<ChangeArg>,
    /// Refuse the first change of each call with this status, such as 488 or 491
    #[arg(long, value_name = "STATUS", value_parser = refusal)]
    pub(crate) refuse_change: Option<StatusCode>,
    /// Send calls there, but those that are for the user of this address
    #[arg(long, value_name = "URI", value_parser = sip_uri)]
    pub(crate) redirect_to: Option<String>,
    /// When a call is to end, have the peer call somebody else first, and end it when it says what came of that
    #[arg(long, value_name = "URI", value_parser = uri, requires = "hangup")]
    pub(crate) transfer_to: Option<String>,
    /// End a call so long after it began, or a subscription to --state
    #[arg(long, value_name = "MS")]
    pub(crate) hangup: Option<u64>,
    /// The shortest session timer that is taken; a call with a shorter one is answered 422 [default: 90]
    #[arg(long, value_name = "SECS")]
    pub(crate) min_session_timer: Option<u64>,
    /// Send every text message back
    #[arg(long)]
    pub(crate) echo: bool,
    /// At the end take no new calls, and wait so long for those there are before they are ended
    #[arg(long, value_name = "SECS")]
    pub(crate) drain: Option<u64>,
    /// File with the session description that we offer or answer with (a small audio one without media if absent)
    #[arg(long, value_name = "FILE")]
    pub(crate) sdp: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// A state of ours, for those who subscribe to it.
#[derive(Args, Clone, Debug)]
pub(crate) struct StateArgs {
    /// Take subscriptions to a state of ours, and tell it: a text, or @ and the name of the file that it is in
    #[arg(long, value_name = "TEXT|@FILE")]
    pub(crate) state: Option<String>,
    /// What state of ours it is: the event package
    #[arg(long, value_name = "PACKAGE", default_value = "presence", requires = "state")]
    pub(crate) event: String,
    /// The type of its body
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "application/pidf+xml",
        requires = "state"
    )]
    pub(crate) content_type: String,
}

#[derive(Args, Debug)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    #[command(flatten)]
    pub(crate) sessions: SessionArgs,
    #[command(flatten)]
    pub(crate) answering: AnswerArgs,
    /// No refresh of the registration comes sooner than this after the last, however short the server keeps it
    #[arg(long, value_name = "SECS", default_value_t = 5, value_parser = value_parser!(u64).range(1..))]
    pub(crate) refresh_floor: u64,
    /// Stay registered so long, then end as with Ctrl-C
    #[arg(long = "for", value_name = "SECS")]
    pub(crate) stay: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct MessageArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// Whom to send it to, such as sip:bob@example.com
    #[arg(value_name = "TARGET", value_parser = uri)]
    pub(crate) target: String,
    /// The text
    #[arg(value_name = "TEXT")]
    pub(crate) text: String,
    /// Wait so long for a message back; none is a failure
    #[arg(long, value_name = "MS")]
    pub(crate) wait: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct OptionsArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// Whom to ask, such as sip:bob@example.com
    #[arg(value_name = "TARGET", value_parser = uri)]
    pub(crate) target: String,
}

#[derive(Args, Debug)]
pub(crate) struct CallArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    #[command(flatten)]
    pub(crate) sessions: SessionArgs,
    /// Whom to call, such as sip:bob@example.com
    #[arg(value_name = "TARGET", value_parser = uri)]
    pub(crate) target: String,
    /// Make the calls that the peer asks for in a transfer
    #[arg(long)]
    pub(crate) follow_transfers: bool,
    /// Call whom the peer names instead, one after the other
    #[arg(long)]
    pub(crate) follow_redirects: bool,
    /// File with the session description that we offer (a small audio one without media if absent)
    #[arg(long, value_name = "FILE", conflicts_with = "no_offer")]
    pub(crate) sdp: Option<PathBuf>,
    /// Let the peer make the offer
    #[arg(long)]
    pub(crate) no_offer: bool,
    /// Hang up so long after the call was answered
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub(crate) duration: u64,
    /// Put the call on hold for so long when it is answered, and take it back; the duration begins then
    #[arg(long, value_name = "MS")]
    pub(crate) hold: Option<u64>,
    /// The request that puts it on hold and takes it back
    #[arg(
        long,
        value_enum,
        value_name = "REQUEST",
        default_value = "invite",
        requires = "hold"
    )]
    pub(crate) hold_by: ChangeArg,
    /// Before the call is taken, offer the session once more, by UPDATE, when a reliable response has answered the first offer
    #[arg(long, requires = "reliable", conflicts_with = "no_offer")]
    pub(crate) early_update: bool,
    /// Cancel the call if it is not answered after so long
    #[arg(long, value_name = "MS")]
    pub(crate) cancel: Option<u64>,
    /// A text message inside the call
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// In place of hanging up, have the peer call somebody else, and hang up when it says that it has
    #[arg(long, value_name = "URI", value_parser = uri)]
    pub(crate) transfer_to: Option<String>,
    /// Before that, call them ourselves, and when they answer have the peer take our place there (an attended transfer)
    #[arg(long, requires = "transfer_to")]
    pub(crate) consult: bool,
}

#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// Whom to watch, such as sip:bob@example.com
    #[arg(value_name = "URI", value_parser = uri)]
    pub(crate) target: String,
    /// What of theirs to watch: the event package
    #[arg(long, value_name = "PACKAGE", default_value = "presence")]
    pub(crate) event: String,
    /// A type of bodies that we read, such as application/pidf+xml (repeatable; that of the package if absent)
    #[arg(long, value_name = "TYPE")]
    pub(crate) accept: Vec<String>,
    /// The URI may be that of a list, whose members' states come in one body (RFC 4662)
    #[arg(long)]
    pub(crate) list: bool,
    /// Send the list of those to watch, in the form of Microsoft's servers: a text, or @ and the name of the file that it is in
    #[arg(long, value_name = "TEXT|@FILE", conflicts_with = "list")]
    pub(crate) members: Option<String>,
    /// Let a server of Microsoft's send states that nothing answers (BENOTIFY)
    #[arg(long)]
    pub(crate) benotify: bool,
    /// Let a server of Microsoft's put the first state into its answer
    #[arg(long)]
    pub(crate) piggyback: bool,
    /// Ask for the state again so long after the first, in the subscription that there is
    #[arg(long, value_name = "MS", conflicts_with = "once")]
    pub(crate) again: Option<u64>,
    /// Ask for the state once, and end when it is here
    #[arg(long, conflicts_with = "stay")]
    pub(crate) once: bool,
    /// Watch so long, then end as with Ctrl-C
    #[arg(long = "for", value_name = "SECS")]
    pub(crate) stay: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// What of ours it is: the event package
    #[arg(long, value_name = "PACKAGE", default_value = "presence")]
    pub(crate) event: String,
    /// The state: a text, or @ and the name of the file that it is in
    #[arg(long, value_name = "TEXT|@FILE")]
    pub(crate) body: String,
    /// The type of the body
    #[arg(long = "type", value_name = "TYPE", default_value = "application/pidf+xml")]
    pub(crate) content_type: String,
    /// Publish so long, then end as with Ctrl-C
    #[arg(long = "for", value_name = "SECS")]
    pub(crate) stay: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct ListenArgs {
    /// Where to listen, as tcp:ADDR:PORT or tls:ADDR:PORT (repeatable)
    #[arg(long, value_name = "tcp|tls:ADDR:PORT", required = true)]
    pub(crate) listen: Vec<ListenAt>,
    /// Our address; without a port
    #[arg(long, value_name = "URI", default_value = "sip:sansip@localhost", value_parser = sip_uri)]
    pub(crate) user: String,
    /// Over TLS let those alone connect whose certificate is for this name, for one below .DOMAIN, or for this address
    /// (repeatable); --ca names the roots that it must lead to
    #[arg(long = "allow", value_name = "NAME|.DOMAIN|ADDRESS", requires = "cert")]
    pub(crate) allowed: Vec<String>,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    #[command(flatten)]
    pub(crate) sessions: SessionArgs,
    #[command(flatten)]
    pub(crate) answering: AnswerArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Listen so long, then end as with Ctrl-C
    #[arg(long = "for", value_name = "SECS")]
    pub(crate) stay: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Where to listen, as tcp:ADDR:PORT or tls:ADDR:PORT (repeatable)
    #[arg(long, value_name = "tcp|tls:ADDR:PORT", required = true)]
    pub(crate) listen: Vec<ListenAt>,
    /// PEM file with the certificate to show over TLS and those that issued it
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// PEM file with the private key of --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// An account (repeatable); without any, everybody may register and nobody is challenged
    #[arg(long = "user", value_name = "NAME:PASSWORD")]
    pub(crate) users: Vec<String>,
    /// The domain of its users (repeatable)
    #[arg(long = "domain", value_name = "DOMAIN", default_value = "example.com")]
    pub(crate) domains: Vec<String>,
    /// How its users may prove who they are, in the order in which they are asked: kerberos, ntlm, digest. For Kerberos it
    /// has the key of sip/DOMAIN, the first one, in the keytab of the process (KRB5_KTNAME)
    #[arg(
        long,
        value_name = "LIST",
        value_parser = protocol,
        value_delimiter = ',',
        default_value = "digest",
    )]
    pub(crate) auth: Vec<Protocol>,
    /// The realm of its challenges (the first domain for Digest, "SIP Communications Service" for NTLM and Kerberos if absent)
    #[arg(long, value_name = "TEXT", value_parser = realm)]
    pub(crate) realm: Option<String>,
    /// The Windows domain of its users for NTLM, and the realm of those for Kerberos (the first domain up to its first dot, in upper case, if absent)
    #[arg(long, value_name = "NAME")]
    pub(crate) windows_domain: Option<String>,
    /// Which version of signatures it speaks with NTLM
    #[arg(long, value_name = "2|3|4", value_parser = version, default_value = "4")]
    pub(crate) signature_version: Version,
    /// The algorithm of its Digest challenges (both if absent, SHA-256 first)
    #[arg(long, value_name = "MD5|SHA-256", value_parser = algorithm)]
    pub(crate) algorithm: Option<Algorithm>,
    /// Write a capture (pcapng) of what passes; in plain over TLS, too, so keep the file to yourself
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Stop after so long
    #[arg(long = "for", value_name = "SECS")]
    pub(crate) stay: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Write a capture (pcapng) of what the server sees; in plain over TLS, too
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct LadderArgs {
    /// The capture
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// One column for each host, whatever its ports
    #[arg(long)]
    pub(crate) hosts: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// File whose first line is the password of the account, which is not in the recording; - reads it from standard input
    #[arg(long, value_name = "FILE|-")]
    pub(crate) password_file: Option<String>,
    /// Write a capture (pcapng) of what passed; in plain over TLS, too, so keep the file to yourself
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The file; - is standard input
    #[arg(value_name = "FILE|-")]
    pub(crate) file: String,
    /// Print the message rebuilt from its typed values
    #[arg(long, conflicts_with = "stream")]
    pub(crate) roundtrip: bool,
    /// Read a byte stream of many messages, and print where each begins
    #[arg(long)]
    pub(crate) stream: bool,
    /// Feed the stream in pieces of so many bytes; the result is the same for every number
    #[arg(long, value_name = "N", requires = "stream", value_parser = chunk)]
    pub(crate) chunk: Option<usize>,
}

fn chunk(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(String::from("a number of bytes, 1 or more")),
        Ok(number) => Ok(number),
    }
}

/// What every recording begins with has room in it.
fn record_limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= 1024 => Ok(number),
        _ => Err(String::from("a number of bytes, 1024 or more")),
    }
}

fn sip_uri(text: &str) -> Result<String, String> {
    match Uri::parse(text) {
        Ok(Uri::Sip(_)) => Ok(text.to_owned()),
        _ => Err(String::from("an address such as sip:alice@example.com")),
    }
}

fn uri(text: &str) -> Result<String, String> {
    match Uri::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(String::from("an address such as sip:bob@example.com")),
    }
}

fn final_status(text: &str) -> Result<StatusCode, String> {
    let status = text.parse().ok().and_then(StatusCode::new);
    match status {
        Some(status) if status.code() == 200 || status.code() >= 400 => Ok(status),
        _ => Err(String::from("200, or a status from 400 to 699")),
    }
}

fn refusal(text: &str) -> Result<StatusCode, String> {
    let status = text.parse().ok().and_then(StatusCode::new);
    status
        .filter(|status| status.code() >= 400)
        .ok_or_else(|| String::from("a status from 400 to 699"))
}

fn log_filter(text: &str) -> Result<Targets, String> {
    text.parse()
        .map_err(|_| String::from("a level, or a list such as info,sansip::connection=debug"))
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(String::from("a header field is given as 'Name: value'")),
    }
}

fn protocol(text: &str) -> Result<Protocol, String> {
    Protocol::from_name(text)
        .ok_or_else(|| String::from("kerberos, ntlm, digest, or several with commas between"))
}

/// In NTLM's header fields nothing is escaped.
fn realm(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        return Err(String::from("a text without quotes and backslashes"));
    }
    Ok(text.to_owned())
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "2" => Ok(Version::V2),
        "3" => Ok(Version::V3),
        "4" => Ok(Version::V4),
        _ => Err(String::from("2, 3 or 4")),
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    match text.to_ascii_uppercase().as_str() {
        "MD5" => Ok(Algorithm::Md5),
        "SHA-256" => Ok(Algorithm::Sha256),
        _ => Err(String::from("MD5 or SHA-256")),
    }
}
