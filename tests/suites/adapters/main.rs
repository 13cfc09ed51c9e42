//! One suite for the adapters: every case and every row runs through each of them, on real sockets on loopback, and has
//! the same outcome.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for single events")]

mod agent;
mod cases;
mod certificates;
mod kerberos;
mod on_async_std;
mod on_mio;
mod peers;
mod tls;

mod every {
    pub(crate) use crate::cases::*;
    pub(crate) use crate::kerberos::*;
}

/// Each case once for each adapter.
macro_rules! through_both {
    ($($(#[$attribute:meta])* $case:ident,)*) => {
        mod through_mio {
            $($(#[$attribute])* #[test] fn $case() { crate::every::$case::<crate::on_mio::Mio>(); })*
        }
        mod through_async_std {
            $($(#[$attribute])* #[test] fn $case() { crate::every::$case::<crate::on_async_std::AsyncStd>(); })*
        }
    };
}

#[test]
fn what_mio_recorded_is_the_same_through_async_std() {
    cases::a_recorded_run_is_the_same_through_the_other_adapter::<on_mio::Mio, on_async_std::AsyncStd>();
}

#[test]
fn what_async_std_recorded_is_the_same_through_mio() {
    cases::a_recorded_run_is_the_same_through_the_other_adapter::<on_async_std::AsyncStd, on_mio::Mio>();
}

through_both! {
    peers_converse_over_tcp,
    peers_converse_over_tls,
    peers_converse_over_mutual_tls,
    whom_we_have_connected_to_may_connect_to_us,
    certificates_are_replaced_while_running,
    a_client_shows_its_new_certificate,
    a_connection_is_held_until_it_is_allowed,
    peers_converse_over_ipv6,
    users_converse_through_a_front_end_over_tcp,
    users_converse_through_a_front_end_over_tls,
    a_wrong_password_is_told,
    a_call_is_given_up,
    nobody_listens,
    the_peer_resets,
    the_peer_closes,
    the_name_is_unknown,
    a_domain_names_its_service,
    no_name_server_answers,
    a_long_answer_comes_over_tcp,
    listening_fails_with_its_reason,
    a_long_message_passes_a_small_buffer,
    shutting_down_hangs_up_and_unregisters,
    shutting_down_takes_no_longer_than_it_may,
    a_context_that_comes_late_logs_the_user_on,
    a_kerberos_that_fails_or_panics_is_told,
    an_adapter_without_kerberos_says_so,
    an_adapter_that_is_dropped_does_not_wait_for_kerberos,
}
