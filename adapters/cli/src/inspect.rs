//! `sansip inspect`: what a user agent makes of a message, and where a stream is cut.

use std::fs::File;
use std::io::{self, Read};

use sansip::wire::check::{self, UserAgent, Verdict};
use sansip::wire::frame::{self, Scan, ScanEvent};
use sansip::wire::header::{
    self, Contact, ContentType, Expires, ListHeader, MaxForwards, NameAddr, Params, RecordRoute, Route, Via,
};
use sansip::wire::{Message, MessageLimits, Method, StatusCode, rebuild};
use serde_json::{Map, Value, json};

use crate::args::InspectArgs;
use crate::failure::Failure;
use crate::output::{Fields, object, one_line, print, print_line};

/// The methods of a user agent that does calls, messages and notifications.
const METHODS: [Method; 8] = [
    Method::Invite,
    Method::Ack,
    Method::Bye,
    Method::Cancel,
    Method::Options,
    Method::Message,
    Method::Info,
    Method::Notify,
];

/// Judges the message or cuts the stream. True where all of it is well-formed.
pub(crate) fn run(args: &InspectArgs, json: bool) -> Result<bool, Failure> {
    let bytes = read(&args.file)?;
    let limits = MessageLimits::default();
    if args.stream {
        let scan = frame::scan(&bytes, args.chunk.unwrap_or(bytes.len()), &limits);
        return Ok(print_stream(&scan, json));
    }
    let agent = UserAgent {
        methods: &METHODS,
        options: &["timer", "100rel", "replaces"],
        content_types: &["application/sdp", "text/plain"],
    };
    let verdict = check::verdict(&bytes, &agent, &limits);
    if args.roundtrip {
        return round_trip(&verdict, json);
    }
    let fields = fields(&verdict);
    if json {
        print_line(&object(&fields));
    } else {
        print_readable(&fields);
    }
    Ok(verdict.accepted)
}

fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = if file == "-" {
        io::stdin().lock().read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    match result {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::new(format!("cannot read {file}: {error}"))),
    }
}

// --- one message

fn fields(verdict: &Verdict) -> Fields {
    let message = verdict.message.as_ref();
    let address = |of: fn(&Message) -> Value| message.map_or(Value::Null, of);
    vec![
        (
            "verdict",
            json!(if verdict.accepted { "accept" } else { "reject" }),
        ),
        ("code", json!(verdict.code.map(StatusCode::code))),
        ("reason", json!(verdict.reason)),
        ("header", json!(verdict.header)),
        (
            "kind",
            json!(message.map(|message| if message.is_request() {
                "request"
            } else {
                "response"
            })),
        ),
        (
            "method",
            json!(message.and_then(Message::method).map(Method::as_str)),
        ),
        (
            "uri",
            json!(
                message
                    .filter(|message| message.is_request())
                    .map(Message::request_uri)
            ),
        ),
        (
            "status",
            json!(message.and_then(Message::status).map(StatusCode::code)),
        ),
        (
            "call_id",
            json!(message.and_then(|message| message.call_id().ok())),
        ),
        (
            "cseq",
            address(|message| match message.cseq() {
                Ok(cseq) => json!([cseq.number, cseq.method.as_str()]),
                Err(_) => Value::Null,
            }),
        ),
        (
            "from",
            address(|message| {
                message
                    .from_()
                    .map_or(Value::Null, |from| party(&from.0, from.tag()))
            }),
        ),
        (
            "to",
            address(|message| message.to().map_or(Value::Null, |to| party(&to.0, to.tag()))),
        ),
        ("via", address(|message| each(message, via))),
        ("contact", address(|message| each(message, contact))),
        (
            "route",
            address(|message| each(message, |route: Route<'_>| json!(route.0.uri.to_string()))),
        ),
        (
            "record_route",
            address(|message| each(message, |route: RecordRoute<'_>| json!(route.0.uri.to_string()))),
        ),
        (
            "max_forwards",
            address(|message| json!(typed::<MaxForwards>(message).map(|hops| hops.0))),
        ),
        (
            "expires",
            address(|message| json!(typed::<Expires>(message).map(|expires| expires.0))),
        ),
        (
            "content_type",
            address(|message| json!(typed::<ContentType<'_>>(message).as_ref().map(header::to_string))),
        ),
        ("body_len", address(|message| json!(message.body_bytes().len()))),
    ]
}

fn typed<'a, H: header::Header<'a>>(message: &'a Message) -> Option<H> {
    message.typed().ok().flatten()
}

/// The elements that follow their grammar.
fn each<'a, H: ListHeader<'a> + 'a>(message: &'a Message, show: impl Fn(H) -> Value) -> Value {
    message.list::<H>().filter_map(Result::ok).map(show).collect()
}

fn party(address: &NameAddr<'_>, tag: Option<&str>) -> Value {
    json!({ "display": address.display, "uri": address.uri.to_string(), "tag": tag })
}

fn via(via: Via<'_>) -> Value {
    json!({ "transport": via.transport, "host": via.host.to_string(), "port": via.port, "branch": via.branch() })
}

fn contact(contact: Contact<'_>) -> Value {
    match contact {
        Contact::Star => json!({ "uri": "*", "params": {} }),
        Contact::Address(address) => {
            json!({ "uri": address.uri.to_string(), "params": parameters(&address.params) })
        }
    }
}

fn parameters(params: &Params<'_>) -> Value {
    let pairs = params.iter().map(|param| {
        let value = param.value.map(|value| value.into_text());
        (param.name.to_string(), json!(value))
    });
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn print_readable(fields: &Fields) {
    for (name, value) in fields {
        let text = match value {
            Value::Null => continue,
            Value::Array(list) if list.is_empty() => continue,
            Value::String(text) => one_line(text),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        print_line(&format!("{name:13} {text}"));
    }
}

/// Prints the message as its typed values are written.
fn round_trip(verdict: &Verdict, json: bool) -> Result<bool, Failure> {
    let refused = || {
        Failure::new(
            verdict
                .reason
                .clone()
                .unwrap_or_else(|| "not a SIP message".to_owned()),
        )
    };
    let message = verdict
        .message
        .as_ref()
        .filter(|_| verdict.accepted)
        .ok_or_else(refused)?;
    let rebuilt = rebuild(message).map_err(|error| Failure::new(error.to_string()))?;
    if json {
        let mut all = fields(verdict);
        all.push(("roundtrip", json!(String::from_utf8_lossy(&rebuilt))));
        print_line(&object(&all));
    } else {
        print(&rebuilt);
    }
    Ok(true)
}

// --- a stream

fn print_stream(scan: &Scan, json: bool) -> bool {
    let mut sound = true;
    for event in &scan.events {
        let (name, offset, detail) = match *event {
            ScanEvent::Message { offset, len } => ("message", offset, ("len", json!(len))),
            ScanEvent::Ping { offset } => ("ping", offset, ("len", json!(4))),
            ScanEvent::Crlf { offset } => ("crlf", offset, ("len", json!(2))),
            ScanEvent::Error { offset, kind } => {
                sound = false;
                ("error", offset, ("reason", json!(kind.reason())))
            }
        };
        if json {
            print_line(&object(&[
                ("event", json!(name)),
                ("offset", json!(offset)),
                detail,
            ]));
        } else {
            let (what, value) = detail;
            let value = value
                .as_str()
                .map_or_else(|| format!("{what} {value}"), str::to_owned);
            print_line(&format!("{offset:8}  {name:8} {value}"));
        }
    }
    if let Some(offset) = scan.incomplete {
        eprintln!("sansip: the message at offset {offset} is not complete");
    }
    sound
}
