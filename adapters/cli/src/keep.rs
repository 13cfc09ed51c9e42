//! What is kept of a run, in files that only their owner may read: they hold what was said, and who said it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use sansip::{Config, Stack, Time};
use sansip_mio::{Settings, seed, unix_time};
use sansip_net::Recording;
use serde_json::json;

use crate::args::KeepArgs;
use crate::capture::Capture;
use crate::failure::Failure;
use crate::output::Output;

/// What is kept of the run of one stack.
pub(crate) struct Keep {
    capture: Option<Capture>,
    recording: Option<Recorded>,
}

struct Recorded {
    path: PathBuf,
    to: Recording,
    limit: usize,
}

impl Keep {
    /// As the command line says.
    pub(crate) fn open(args: &KeepArgs) -> Result<Self, Failure> {
        let capture = args.pcap.as_deref().map(Capture::create).transpose()?;
        let record = |path: &PathBuf| {
            create(path).map(|file| Recorded {
                path: path.clone(),
                to: Recording::to(file),
                limit: args.record_limit,
            })
        };
        match args.record.as_ref().map(record).transpose() {
            Ok(recording) => Ok(Self { capture, recording }),
            Err(failure) => {
                // Made a moment ago, and empty: it would be in the way of the next try.
                if let (Some(path), Some(_)) = (&args.pcap, capture) {
                    let _ = std::fs::remove_file(path);
                }
                Err(failure)
            }
        }
    }

    /// For one stack of several: the capture is of all of them, a recording of one.
    pub(crate) fn share(&mut self) -> Self {
        Self {
            capture: self.capture.clone(),
            recording: self.recording.take(),
        }
    }

    /// A stack that is recorded where that is wanted.
    pub(crate) fn stack(&self, config: Config) -> io::Result<Stack> {
        let (seed, now, unix) = (seed()?, Time::ZERO, unix_time());
        Ok(match &self.recording {
            Some(Recorded { limit, .. }) => Stack::recorded(config, seed, now, unix, *limit),
            None => Stack::new(config, seed, now, unix),
        })
    }

    /// Has its adapter keep it.
    pub(crate) fn set(&self, settings: &mut Settings) {
        settings.tap = self.capture.as_ref().map(Capture::tap);
        settings.recording = self.recording.as_ref().map(|recording| recording.to.clone());
    }

    /// Fails where not everything could be kept, and says where a recording has ended before its stack.
    pub(crate) fn finish(self, is_recording: bool, out: Output) -> Result<(), Failure> {
        if let Some(Recorded { path, to, limit }) = self.recording {
            if let Some(failure) = to.failure() {
                return Err(unwritten(&path, &failure));
            }
            if !is_recording {
                let path = path.display();
                let words = format!(
                    "the recording {path} is not of the whole run: its limit of {limit} bytes was reached"
                );
                let fields = vec![("file", json!(path.to_string())), ("limit", json!(limit))];
                out.event("incomplete", words, fields);
            }
        }
        self.capture.map_or(Ok(()), |capture| capture.finish())
    }
}

/// Makes a file that nobody else may read. One that exists is never opened, whoever may read it, and whatever a link may lead
/// to.
pub(crate) fn create(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| unwritten(path, &error))
}

/// Why a file is not what it should be.
pub(crate) fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let why = if error.kind() == io::ErrorKind::AlreadyExists {
        "it exists already".to_owned()
    } else {
        error.to_string()
    };
    Failure::new(format!("cannot write {}: {why}", path.display()))
}
