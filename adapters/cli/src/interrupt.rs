//! Ctrl-C and SIGTERM: the first asks the command to end in order, the second ends the process.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::Failure;

type Wake = Box<dyn Fn() + Send>;

/// Whether the user wants an end. Copies tell the same.
#[derive(Clone, Default)]
pub(crate) struct Interrupt(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    hit: bool,
    /// Makes each loop look.
    wakes: Vec<Wake>,
}

impl Interrupt {
    /// Listens for the signals. To be called once in a process.
    pub(crate) fn install() -> Result<Self, Failure> {
        let interrupt = Self::default();
        let copy = interrupt.clone();
        let installed = ctrlc::set_handler(move || {
            if copy.raise() {
                process::exit(1);
            }
        });
        match installed {
            Ok(()) => Ok(interrupt),
            Err(error) => Err(Failure::new(format!("cannot listen for Ctrl-C: {error}"))),
        }
    }

    /// Has this done when the user wants an end, which may be now.
    pub(crate) fn on_hit(&self, wake: impl Fn() + Send + 'static) {
        let mut state = self.state();
        if state.hit {
            wake();
        }
        state.wakes.push(Box::new(wake));
    }

    /// Wants an end; true where it was wanted before.
    pub(crate) fn raise(&self) -> bool {
        let mut state = self.state();
        for wake in &state.wakes {
            wake();
        }
        std::mem::replace(&mut state.hit, true)
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.state().hit
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
