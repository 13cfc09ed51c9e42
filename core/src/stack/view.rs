//! Short-lived views through which the application commands and reads one object.

mod endpoint;
mod incoming;
mod manager;
mod publication;
mod session;
mod subscription;
mod transfer;
mod watcher;

use alloc::string::{String, ToString};

use super::Stack;
use crate::error::{Misuse, ParseError};
use crate::event::Content;
use crate::ids::{EndpointId, OperationId};
use crate::wire::uri::Uri;
use crate::wire::{StatusCode, write};

pub use endpoint::EndpointView;
pub use incoming::IncomingView;
pub use manager::ManagerView;
pub use publication::PublicationView;
pub use session::SessionView;
pub use subscription::SubscriptionView;
pub use watcher::WatcherView;

fn start(stack: &mut Stack, endpoint: EndpointId) -> Result<OperationId, Misuse> {
    may_start(stack)?;
    Ok(stack.out.start(&mut stack.ids, endpoint))
}

fn may_start(stack: &mut Stack) -> Result<(), Misuse> {
    if stack.out.operations() < stack.config.limits.operations {
        Ok(())
    } else {
        stack.counters.refusals.operations += 1;
        Err(Misuse::Limit("operations"))
    }
}

/// What a request is sent to has no headers (RFC 3261 section 19.1.1, table 1): the application gives them apart.
fn check_request_uri(target: &str) -> Result<(), Misuse> {
    check_target(target)?;
    match Uri::parse(target) {
        Ok(Uri::Sip(uri)) if !uri.headers.is_empty() => Err(Misuse::argument(
            "target",
            "a URI with header fields: give them apart",
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn check_refusal(status: StatusCode, reason: Option<&str>) -> Result<(), Misuse> {
    if !(400..=699).contains(&status.code()) {
        return Err(Misuse::argument("status", "400 to 699"));
    }
    match reason {
        Some(reason) => write::check_reason(reason).map_err(misuse("reason")),
        None => Ok(()),
    }
}

fn check_target(target: &str) -> Result<(), Misuse> {
    match Uri::parse(target) {
        Ok(Uri::Sip(_) | Uri::Tel(_)) => Ok(()),
        Ok(Uri::Other(_)) => Err(Misuse::argument("target", "a sip, sips or tel URI is needed")),
        Err(error) => Err(Misuse::argument("target", error.to_string())),
    }
}

fn check_cargo(content: Option<&Content>, headers: &[(String, String)]) -> Result<(), Misuse> {
    if let Some(content) = content {
        write::check_content_type(&content.content_type).map_err(misuse("content_type"))?;
        if content.body.is_empty() {
            return Err(Misuse::argument(
                "content",
                "an empty body has no content type: give none (M1)",
            ));
        }
    }
    for (name, value) in headers {
        write::check_header(name, value).map_err(misuse("headers"))?;
    }
    Ok(())
}

fn misuse(argument: &'static str) -> impl Fn(ParseError) -> Misuse {
    move |error| Misuse::argument(argument, error.to_string())
}
