//! Session descriptions for calls without media (RFC 4566, RFC 3264): the stack carries them and looks at nothing in them.

use std::fmt::Write;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use bytes::Bytes;
use sansip::Content;

use crate::failure::Failure;

/// The media type of a session description.
pub(crate) const SDP: &str = "application/sdp";

/// Where media would go to: the discard port, since none is sent.
const PORT: u16 = 9;

/// A body from a file, as it is. One that is empty would be none, which no call can be answered with.
pub(crate) fn read(file: &Path) -> Result<Bytes, Failure> {
    match std::fs::read(file) {
        Ok(bytes) if bytes.is_empty() => Err(Failure::new(format!("{} is empty", file.display()))),
        Ok(bytes) => Ok(Bytes::from(bytes)),
        Err(error) => Err(Failure::new(format!("cannot read {}: {error}", file.display()))),
    }
}

/// The value of an option that is a text, or @ and the name of the file that it is in.
pub(crate) fn text_or_file(option: &str, value: &str) -> Result<Bytes, Failure> {
    match value.strip_prefix('@') {
        Some(file) => read(Path::new(file)),
        None if value.is_empty() => Err(Failure::usage(format!("{option} is empty"))),
        None => Ok(Bytes::from(value.to_owned())),
    }
}

/// An offer of one audio stream that says nothing and wants to hear nothing.
pub(crate) fn offer(address: IpAddr) -> Content {
    let mut text = session(address);
    let _ = write!(text, "m=audio {PORT} RTP/AVP 0 8\r\n");
    text.push_str("a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=inactive\r\n");
    Content::new(SDP, text)
}

/// The answer to an offer: the first audio stream is taken with the first of its formats, the others are refused. What that format is
/// the answer says as the offer does: its number alone names none (RFC 3264 section 6.1).
pub(crate) fn answer(offer: &[u8], address: IpAddr) -> Content {
    let mut text = session(address);
    let offer = String::from_utf8_lossy(offer);
    let (mut taken, mut chosen) = (false, None);
    for line in offer.lines() {
        let Some(media) = line.strip_prefix("m=") else {
            if chosen.is_some_and(|format| describes(line, format)) {
                let _ = write!(text, "{line}\r\n");
            }
            continue;
        };
        let mut words = media.split_ascii_whitespace();
        let (kind, port) = (words.next().unwrap_or("audio"), words.next().unwrap_or("0"));
        let protocol = words.next().unwrap_or("RTP/AVP");
        let format = words.next().unwrap_or("0");
        let wanted = !taken && kind == "audio" && port != "0";
        taken |= wanted;
        chosen = wanted.then_some(format);
        let port = if wanted { PORT } else { 0 };
        let _ = write!(text, "m={kind} {port} {protocol} {format}\r\n");
        if wanted {
            text.push_str("a=inactive\r\n");
        }
    }
    Content::new(SDP, text)
}

/// Whether a line of a stream says what this format of it is.
fn describes(line: &str, format: &str) -> bool {
    ["a=rtpmap:", "a=fmtp:"].iter().any(|name| {
        line.strip_prefix(name)
            .and_then(|rest| rest.split_once(' '))
            .is_some_and(|(number, _)| number == format)
    })
}

/// The same session changed (RFC 3264 section 8): its next version, and on hold where nobody is to send.
pub(crate) fn changed(body: &[u8], version: u64, on_hold: bool) -> Content {
    let mut text = String::new();
    for line in String::from_utf8_lossy(body).lines() {
        let is_direction = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"].contains(&line);
        if line.starts_with("o=") {
            let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
            let version = version.to_string();
            if let Some(word) = words.get_mut(2) {
                *word = &version;
            }
            let _ = write!(text, "{}\r\n", words.join(" "));
        } else if !(is_direction && on_hold) {
            let _ = write!(text, "{line}\r\n");
        }
        if line.starts_with("t=") && on_hold {
            text.push_str("a=inactive\r\n");
        }
    }
    Content::new(SDP, text)
}

fn session(address: IpAddr) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!("v=0\r\no=sansip 1 1 IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n")
}

/// The address of this host from which `peer` is reached, as the system's routes have it.
pub(crate) fn local_address(peer: Option<IpAddr>) -> IpAddr {
    // Connecting a datagram socket sends nothing.
    let peer = peer.unwrap_or_else(|| IpAddr::from([192, 0, 2, 1]));
    let any: IpAddr = if peer.is_ipv4() {
        [0, 0, 0, 0].into()
    } else {
        [0_u16; 8].into()
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| {
            socket.connect((peer, PORT))?;
            socket.local_addr()
        })
        .map_or_else(|_| IpAddr::from([127, 0, 0, 1]), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 3264 section 6: as many media lines as the offer, in its order, refused ones with port zero.
    #[test]
    fn an_answer_has_the_media_lines_of_the_offer() {
        let offer =
            "v=0\r\nm=video 5000 RTP/AVP 31\r\nm=audio 5002 RTP/SAVP 3 0\r\nm=audio 5004 RTP/AVP 0\r\n";
        let answer = answer(offer.as_bytes(), [192, 0, 2, 7].into());
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let media: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(
            media,
            [
                "m=video 0 RTP/AVP 31",
                "m=audio 9 RTP/SAVP 3",
                "m=audio 0 RTP/AVP 0"
            ]
        );
        assert!(text.contains("c=IN IP4 192.0.2.7\r\n"));
        assert_eq!(answer.content_type, "application/sdp");
    }

    // RFC 3264 section 6.1: a number of 96 and more says nothing without its rtpmap. A phone ends a call that is answered so.
    #[test]
    fn an_answer_says_what_its_format_is() {
        let offer = "v=0\r\nm=audio 5002 RTP/AVP 96 0\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\n\
                     m=audio 5004 RTP/AVP 96\r\na=rtpmap:96 speex/8000\r\n";
        let answer = answer(offer.as_bytes(), [192, 0, 2, 7].into());
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let media: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("m=")).collect();
        assert_eq!(
            media,
            [
                "m=audio 9 RTP/AVP 96",
                "a=inactive",
                "a=rtpmap:96 opus/48000/2",
                "a=fmtp:96 useinbandfec=1",
                "m=audio 0 RTP/AVP 96"
            ]
        );
    }

    #[test]
    fn a_session_on_hold_is_inactive_as_a_whole_and_is_as_before_when_it_is_taken_back() {
        let own = "v=0\r\no=me 1 1 IN IP4 192.0.2.7\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=sendrecv\r\n";
        let held =
            "v=0\r\no=me 1 2 IN IP4 192.0.2.7\r\ns=-\r\nt=0 0\r\na=inactive\r\nm=audio 9 RTP/AVP 0\r\n";
        assert_eq!(changed(own.as_bytes(), 2, true).body, held);
        let back = own.replace("1 1 IN", "1 3 IN");
        assert_eq!(changed(own.as_bytes(), 3, false).body, back);
    }

    #[test]
    fn an_offer_names_the_family_of_its_address() {
        let text = String::from_utf8(offer("2001:db8::1".parse().unwrap()).body.to_vec()).unwrap();
        assert!(text.starts_with("v=0\r\no=sansip 1 1 IN IP6 2001:db8::1\r\n"));
        assert!(text.ends_with("a=inactive\r\n"));
    }
}
