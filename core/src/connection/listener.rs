//! One listening address (C14).
//!
//! ```text
//!  listen ─► Starting ──the embedder listens──► Listening
//!               │  it cannot                       │  it cannot go on
//!               └──────────────► gone ◄────────────┘       (from both: by command)
//!                                            (in Listening the address may change)
//! ```

use core::net::SocketAddr;

use crate::action::{Action, ListenError, Transport};
use crate::cx::{Cx, visit};
use crate::event::Event;
use crate::ids::{ListenerId, ManagerId};

#[cfg(any(test, feature = "cells"))]
pub(super) mod cells;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    id: ListenerId,
    pub(super) manager: ManagerId,
    pub(super) transport: Transport,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The address that was asked for.
    Starting { wanted: SocketAddr },
    /// The address in use.
    Listening { address: SocketAddr },
}

/// What happens to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The embedder listens, or cannot.
    Started(Result<SocketAddr, ListenError>),
    /// It listened, and no longer does.
    Lost(ListenError),
    /// By command.
    Stop,
}

/// What a step means for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Listens,
    /// It is no more.
    Gone(Option<ListenError>),
}

/// The state of a listener in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ListenerPrint {
    pub(crate) listening: bool,
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
}

impl Listener {
    pub(super) fn new(
        id: ListenerId,
        manager: ManagerId,
        transport: Transport,
        wanted: SocketAddr,
        cx: &mut Cx<'_>,
    ) -> Self {
        cx.out.push(Action::Listen {
            listener: id,
            manager,
            address: wanted,
            transport,
        });
        Self {
            id,
            manager,
            transport,
            state: State::Starting { wanted },
        }
    }

    pub(super) fn step(&mut self, input: Input, cx: &mut Cx<'_>) -> Option<Outcome> {
        visit!(cx, self.state, input);
        match (&self.state, input) {
            (State::Starting { .. }, Input::Started(Ok(address))) => {
                self.state = State::Listening { address };
                cx.out.event(Event::Listening {
                    listener: self.id,
                    address,
                });
                Some(Outcome::Listens)
            }
            (State::Starting { .. }, Input::Started(Err(error)))
            | (State::Starting { .. } | State::Listening { .. }, Input::Lost(error)) => {
                self.end(Some(error), cx)
            }
            (State::Starting { .. } | State::Listening { .. }, Input::Stop) => {
                cx.out.push(Action::StopListening(self.id));
                self.end(None, cx)
            }
            // The address of the host has changed.
            (State::Listening { address }, Input::Started(Ok(new))) if new != *address => {
                self.state = State::Listening { address: new };
                cx.out.event(Event::Listening {
                    listener: self.id,
                    address: new,
                });
                None
            }
            // Said twice.
            (State::Listening { .. }, Input::Started(_)) => None,
        }
    }

    fn end(&self, error: Option<ListenError>, cx: &mut Cx<'_>) -> Option<Outcome> {
        cx.out.event(Event::ListeningEnded {
            listener: self.id,
            error: error.clone(),
        });
        Some(Outcome::Gone(error))
    }

    /// The address in use.
    pub(super) const fn address(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Starting { .. } => None,
            State::Listening { address } => Some(*address),
        }
    }

    /// Whether this is its address, or will be. Each port that the system is to choose is another.
    pub(super) fn has(&self, asked: SocketAddr) -> bool {
        let (State::Starting { wanted: own } | State::Listening { address: own }) = &self.state;
        asked.port() != 0 && *own == asked
    }

    pub(super) const fn fingerprint(&self) -> ListenerPrint {
        let (listening, address) = match &self.state {
            State::Starting { wanted } => (false, *wanted),
            State::Listening { address } => (true, *address),
        };
        ListenerPrint {
            listening,
            address,
            transport: self.transport,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::connection::testing::Services;

    enum Told {
        Nothing,
        Listening(SocketAddr),
        Ended(ListenError),
        Stopped,
    }

    // rules: C14
    #[test]
    fn every_state_and_input() {
        let (wanted, got) = (
            SocketAddr::from(([0; 4], 0)),
            SocketAddr::from(([192, 0, 2, 1], 5060)),
        );
        let moved = SocketAddr::from(([192, 0, 2, 2], 5060));
        let (in_use, no_certificate) = (ListenError::AddressInUse, ListenError::NoCertificate);
        let gone = |error: &ListenError| Some(Outcome::Gone(Some(error.clone())));
        // Listening already, input, what it means, whether it listens afterwards, actions.
        let table = [
            (
                false,
                Input::Started(Ok(got)),
                Some(Outcome::Listens),
                true,
                Told::Listening(got),
            ),
            (
                false,
                Input::Started(Err(in_use.clone())),
                gone(&in_use),
                false,
                Told::Ended(in_use.clone()),
            ),
            (
                false,
                Input::Lost(no_certificate.clone()),
                gone(&no_certificate),
                false,
                Told::Ended(no_certificate.clone()),
            ),
            (
                false,
                Input::Stop,
                Some(Outcome::Gone(None)),
                false,
                Told::Stopped,
            ),
            (true, Input::Started(Ok(got)), None, true, Told::Nothing),
            (
                true,
                Input::Started(Ok(moved)),
                None,
                true,
                Told::Listening(moved),
            ),
            (true, Input::Started(Err(in_use)), None, true, Told::Nothing),
            (
                true,
                Input::Lost(no_certificate.clone()),
                gone(&no_certificate),
                true,
                Told::Ended(no_certificate),
            ),
            (true, Input::Stop, Some(Outcome::Gone(None)), true, Told::Stopped),
        ];
        for (started, input, outcome, listens, told) in table {
            let mut services = Services::new();
            let (id, manager) = (services.ids.next(), services.ids.next());
            let mut listener = Listener::new(id, manager, Transport::Tcp, wanted, &mut services.cx());
            if started {
                listener.step(Input::Started(Ok(got)), &mut services.cx());
            }
            while services.out.pop().is_some() {}
            assert_eq!(
                listener.step(input.clone(), &mut services.cx()),
                outcome,
                "{started}, {input:?}"
            );
            let actions: Vec<Action> = core::iter::from_fn(|| services.out.pop()).collect();
            let ended = |error| Action::Event(Event::ListeningEnded { listener: id, error });
            let mut address = if listens { got } else { wanted };
            let expected = match told {
                Told::Nothing => vec![],
                Told::Listening(new) => {
                    address = new;
                    vec![Action::Event(Event::Listening {
                        listener: id,
                        address,
                    })]
                }
                Told::Ended(error) => vec![ended(Some(error))],
                Told::Stopped => vec![Action::StopListening(id), ended(None)],
            };
            assert_eq!(actions, expected, "{started}, {input:?}");
            let print = listener.fingerprint();
            assert_eq!((print.listening, print.address), (listens, address));
        }
    }
}
