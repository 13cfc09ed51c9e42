//! Where a recording of a stack goes.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sansip::Stack;

/// Where an adapter writes what its stack records, at the end of every wake-up and at its own end (rule X8).
///
/// The stack is to be made by [`Stack::recorded`]; of another one nothing is written. Where writing fails the recording
/// ends, the stack goes on, and [`Recording::failure`] says why. Clones write to one place; keep one to ask it.
#[derive(Clone)]
pub struct Recording {
    sink: Arc<Mutex<Sink>>,
}

struct Sink {
    /// `None` once it has failed.
    out: Option<Box<dyn Write + Send>>,
    failure: Option<Arc<io::Error>>,
}

impl Recording {
    /// A new file that only its owner can read and write (mode 0600). A recording says who spoke with whom, and what.
    ///
    /// # Errors
    /// The file cannot be made; it exists already. A file that exists is never opened, whoever may read it, and whatever a
    /// link may lead to.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file: File = options.open(path)?;
        Ok(Self::to(file))
    }

    /// Anything that takes bytes. It is written to from the thread or task of the adapter, which waits for it.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self {
            sink: Arc::new(Mutex::new(Sink {
                out: Some(Box::new(out)),
                failure: None,
            })),
        }
    }

    /// Writes what the stack has recorded since the last time. After a failure the stack stops recording.
    pub fn take_from(&self, stack: &mut Stack) {
        let bytes = stack.take_recording();
        let mut sink = self.sink();
        let Some(out) = &mut sink.out else {
            stack.stop_recording();
            return;
        };
        if bytes.is_empty() {
            return;
        }
        if let Err(error) = out.write_all(&bytes).and_then(|()| out.flush()) {
            sink.out = None;
            sink.failure = Some(Arc::new(error));
            stack.stop_recording();
        }
    }

    /// What went wrong when it was written; `None` while nothing has.
    pub fn failure(&self) -> Option<Arc<io::Error>> {
        self.sink().failure.clone()
    }

    /// Whoever panicked while writing has left nothing half done here.
    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("failure", &self.sink().failure)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sansip::record::Replay;
    use sansip::{Config, Time, UnixTime};

    use super::*;

    fn stack(limit: usize) -> Stack {
        Stack::recorded(Config::default(), [1; 32], Time::ZERO, UnixTime(0), limit)
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("sansip-recording-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    // rules: X8
    #[test]
    #[cfg(unix)]
    fn a_file_is_for_its_owner_only_and_none_that_was_there() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = folder("file");
        let path = folder.join("a");
        let recording = Recording::create(&path).unwrap();
        let mut stack = stack(usize::MAX);
        recording.take_from(&mut stack);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        let written = std::fs::read(&path).unwrap();
        assert!(Replay::open(written.clone()).unwrap().is_complete());
        // Neither over a recording, nor through a link to where there is nothing yet.
        let link = folder.join("link");
        symlink(folder.join("elsewhere"), &link).unwrap();
        for existing in [&path, &link] {
            let error = Recording::create(existing).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(std::fs::read(&path).unwrap(), written);
        assert!(!folder.join("elsewhere").exists());
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// Takes so many bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    // rules: X8
    #[test]
    fn a_sink_that_fails_ends_the_recording_and_not_the_stack() {
        let recording = Recording::to(Full(50));
        let mut stack = stack(usize::MAX);
        assert!(stack.is_recording() && recording.failure().is_none());
        recording.clone().take_from(&mut stack);
        assert!(!stack.is_recording());
        let kind = recording.failure().map(|error| error.kind());
        assert_eq!(kind, Some(io::ErrorKind::StorageFull));
        stack.terminate_all(Time::from_secs(1));
        recording.take_from(&mut stack);
        // Another stack that is told to write there stops, too.
        let mut other = self::stack(usize::MAX);
        recording.take_from(&mut other);
        assert!(!other.is_recording());
    }
}
