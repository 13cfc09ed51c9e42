//! Who registers, who does not any more, and what else an endpoint and its server agree on.

use sansip::wire::Method;
use sansip::{RegistrationReason, RegistrationState};

use super::cast::CAST;
use super::life::{Life, one};
use super::step::{Step, What};
use crate::frontend::{Deregistration, Lost};

/// Why a server ends a registration (R13): it is not tried again.
const DEREGISTERED: [RegistrationReason; 5] = [
    RegistrationReason::TooManyActiveEndpoints,
    RegistrationReason::UserChanged,
    RegistrationReason::UserMoved,
    RegistrationReason::UserServicesUnavailable,
    RegistrationReason::PreferredRegistrarChanged,
];

/// Whether an endpoint is to be registered after a change, if it was before.
pub(super) fn told_after(
    told: bool,
    change: (RegistrationState, RegistrationState),
    reason: RegistrationReason,
) -> bool {
    use RegistrationState as Is;
    match change {
        // Who was deregistered while a REGISTER was under way may be taken back by its answer, or by a command that was
        // given before that was heard.
        (Is::Unregistered, Is::Registering | Is::Registered) => true,
        (_, Is::Unregistering) => false,
        (Is::Registered, Is::Unregistered) => told && !DEREGISTERED.contains(&reason),
        _ => told,
    }
}

impl Life<'_> {
    pub(super) fn act_on_registration(&mut self, step: Step) {
        let [first, ..] = step.arguments;
        match step.what {
            What::Enroll => {
                (0..CAST.len())
                    .filter(|at| CAST.get(*at).is_some_and(|role| role.has_server()))
                    .for_each(|at| self.set_registered(at, true));
            }
            what => self.set_registered(usize::from(first) % CAST.len(), what == What::Register),
        }
    }

    /// Misuse in the state that there is, or of a peer, changes nothing.
    pub(super) fn set_registered(&mut self, at: usize, told: bool) {
        let Some((actor, endpoint)) = self.endpoint(at) else {
            return;
        };
        let result = self.world.with(endpoint.host, |stack, now| {
            let mut view = stack.endpoint(now, endpoint.id)?;
            if told { view.register() } else { view.unregister() }
        });
        if let Ok(operation) = result {
            self.began(actor.role.host, operation, None);
            if let Some(actor) = self.actors.get_mut(at) {
                (actor.told, actor.failed) = (told, false);
            }
        }
    }

    /// What the endpoint takes has nothing to do with what it may send.
    pub(super) fn set_methods(&mut self, first: u8, second: u8) {
        let Some((_, endpoint)) = self.endpoint(usize::from(first) % CAST.len()) else {
            return;
        };
        let mut methods = vec![Method::Message, Method::Info, Method::Options, Method::Notify];
        methods.truncate(usize::from(second >> 1) % 5);
        methods.extend((second & 1 == 0).then_some(Method::Invite));
        let result = self.world.with(endpoint.host, |stack, now| {
            stack.endpoint(now, endpoint.id)?.set_methods(methods)
        });
        result.expect("the methods of an endpoint that lives");
    }

    /// The server deregisters endpoints, or loses them without a word.
    pub(super) fn unbind(&mut self, step: Step) {
        let [first, second, third] = step.arguments;
        let Some((actor, _)) = self.endpoint(usize::from(first) % CAST.len()) else {
            return;
        };
        let (uri, epid) = (actor.role.uri(), actor.role.epid(actor.generation));
        let epid = third.is_multiple_of(2).then_some(epid.as_str());
        let server = self.server(third / 2);
        self.world.with_server(server, |server, _| {
            if step.what == What::Deregister {
                let why = one(&Deregistration::ALL, second).unwrap_or(Deregistration::Unregistered);
                server.deregister(&uri, epid, why);
            } else {
                let what = if second & 1 == 0 {
                    Lost::Binding
                } else {
                    Lost::Endpoint
                };
                server.lose(&uri, epid, what);
            }
        });
    }
}
