//! Fields of the event framework (RFC 6665) and its publication.

use alloc::borrow::Cow;
use alloc::string::String;

use super::media::word_and_params;
use super::token::word_fields;
use super::{Header, ListHeader, Params};
use crate::error::ParseError;
use crate::wire::grammar::{self, Parsed};
use crate::wire::{HeaderName, Message};

/// `event-type`: tokens without a dot, with dots between them.
fn is_event_type(text: &str) -> bool {
    text.split('.').all(grammar::is_token)
}

fn event_type(value: &str) -> Result<&str, &'static str> {
    let value = grammar::trim(value);
    if is_event_type(value) {
        Ok(value)
    } else {
        Err("bad event type")
    }
}

word_and_params! {
    /// What a subscription is about (RFC 6665 section 8.2.1).
    Event {
        /// The package with its templates.
        package
    }: Event, is_event_type;
    /// How a subscription stands (RFC 6665 section 8.2.3).
    SubscriptionState {
        /// `active`, `pending`, `terminated`, or another token, as written.
        state
    }: SubscriptionState, |_| true;
}

word_fields! {
    /// An event package that is known (RFC 6665 section 8.2.2).
    AllowEvents: AllowEvents, event_type, ListHeader(false);
}

impl Event<'_> {
    /// Which of several subscriptions in one dialog this is.
    pub fn id(&self) -> Option<&str> {
        self.params.token("id")
    }
}

impl<'a> SubscriptionState<'a> {
    /// How a NOTIFY says that its subscription stands. That it is terminated counts also where the parameters behind that
    /// cannot be read, which say no more than why: some user agents write `reason=reason=noresource`.
    ///
    /// # Errors
    /// The field is missing, repeated or malformed.
    pub fn of(notify: &'a Message) -> Result<Self, ParseError> {
        notify.required().or_else(|error| {
            let mut values = notify.raw_all(Self::NAME);
            let (only, further) = (values.next(), values.next());
            let word = only.and_then(|value| value.split(|octet| *octet == b';').next());
            match word.map(<[u8]>::trim_ascii) {
                Some(word) if further.is_none() && word.eq_ignore_ascii_case(b"terminated") => Ok(Self {
                    state: Cow::Borrowed("terminated"),
                    params: Params::default(),
                }),
                Some(_) | None => Err(error),
            }
        })
    }

    /// Whether the state is `terminated`, in any case.
    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case("terminated")
    }

    /// Seconds until it ends.
    pub fn expires(&self) -> Option<u32> {
        grammar::decimal_u32(self.params.token("expires")?)
    }

    /// Why it ended.
    pub fn reason(&self) -> Option<Cow<'_, str>> {
        self.params.get("reason")
    }

    /// After how many seconds to try again.
    pub fn retry_after(&self) -> Option<u32> {
        grammar::decimal_u32(self.params.token("retry-after")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6665 section 8.
    #[test]
    fn events() {
        let event = Event::parse("presence.winfo ; id=7").unwrap();
        assert_eq!(
            (event.package.as_ref(), event.id()),
            ("presence.winfo", Some("7"))
        );
        for text in ["", "a..b", ".", "a b", "a;", "presence;id=\"7"] {
            assert!(Event::parse(text).is_err(), "{text}");
        }
        assert!(AllowEvents::parse_list("presence,vnd-microsoft-roaming-ACL").all(|event| event.is_ok()));
        assert!(AllowEvents::parse_list("presence,").any(|event| event.is_err()));
    }

    #[test]
    fn states_of_subscriptions() {
        let state = SubscriptionState::parse("active;expires=3599").unwrap();
        assert_eq!(
            (state.state.as_ref(), state.expires(), state.is_terminated()),
            ("active", Some(3599), false)
        );
        let state = SubscriptionState::parse("Terminated;reason=timeout;retry-after=60").unwrap();
        assert!(state.is_terminated());
        assert_eq!(
            (state.reason().as_deref(), state.retry_after()),
            (Some("timeout"), Some(60))
        );
        assert!(SubscriptionState::parse("active;expires=(depends on Refer-To URI)").is_err());
        assert!(SubscriptionState::parse("").is_err());
    }
}
