//! What is kept of a run, in files that only their owner may read: they hold what was said, and who said it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use sansip_mio::Tap;

use crate::args::KeepArgs;
use crate::capture::Capture;
use crate::failure::Failure;

/// What is kept of the run of one stack.
#[derive(Default)]
pub(crate) struct Keep {
    capture: Option<Capture>,
}

impl Keep {
    /// As the command line says.
    pub(crate) fn open(args: &KeepArgs) -> Result<Self, Failure> {
        let capture = args.pcap.as_deref().map(Capture::create).transpose()?;
        Ok(Self { capture })
    }

    /// For one more stack: the capture is of all of them.
    pub(crate) fn share(&self) -> Self {
        Self {
            capture: self.capture.clone(),
        }
    }

    pub(crate) fn tap(&self) -> Option<Tap> {
        self.capture.as_ref().map(Capture::tap)
    }

    /// Fails where not everything could be kept.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.capture.map_or(Ok(()), |capture| capture.finish())
    }
}

/// Makes or empties a file that nobody else may read.
pub(crate) fn create(path: &Path) -> Result<File, Failure> {
    try_create(path).map_err(|error| unwritten(path, &error))
}

/// Why a file is not what it should be.
pub(crate) fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
}

fn try_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    // A pipe to a program that watches is as good as a file, and stays as it is.
    if file.metadata()?.is_file() {
        // One that was there may have had more readers.
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        file.set_len(0)?;
    }
    Ok(file)
}
