//! Running the binary.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Only reached when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ALICE: [&str; 2] = ["--user", "sip:alice@example.com"];
pub(crate) const BOB: [&str; 2] = ["--user", "sip:bob@example.com"];

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The JSON objects on standard output.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The one line on standard error with which a command fails.
    pub(crate) fn failure(&self) -> &str {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        self.complaint()
    }

    pub(crate) fn complaint(&self) -> &str {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let [line] = lines.as_slice() else {
            panic!("not one line: {}", self.stderr)
        };
        line.strip_prefix("sansip: ").unwrap()
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sansip"));
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn sansip(args: &[&str]) -> Outcome {
    sansip_with(args, b"")
}

/// Runs to the end with this on standard input.
pub(crate) fn sansip_with(args: &[&str], input: &[u8]) -> Outcome {
    let mut child = command(args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Not read to its end by a command that fails first, which is no error of the test.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A run that goes on, with its events as they come. It is killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Running {
    /// Starts it with `--json`.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = command(args)
            .arg("--json")
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = read(child.stdout.take().unwrap());
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for an event of this name for which this holds.
    pub(crate) fn wait(&mut self, name: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(event) = self.lines.recv_timeout(left) else {
                panic!("no {name}; but {:#?}", self.seen)
            };
            self.seen.push(event.clone());
            if event["event"] == name && holds(&event) {
                return event;
            }
        }
    }

    /// The address that it listens at.
    pub(crate) fn listening(&mut self) -> String {
        self.wait("listening", |_| true)["address"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Sends the signal of Ctrl-C, and waits for the exit code.
    pub(crate) fn interrupt(&mut self) -> Option<i32> {
        self.signal();
        self.code()
    }

    /// Sends the signal of Ctrl-C.
    pub(crate) fn signal(&self) {
        let kill = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
    }

    pub(crate) fn code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.seen.extend(self.lines.iter());
                return status.code();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end; it said {:#?}", self.seen)
    }

    /// Whether an event of this name with this field was seen until the end.
    pub(crate) fn said(&self, name: &str, field: &str, value: &str) -> bool {
        self.seen
            .iter()
            .any(|event| event["event"] == name && event[field] == value)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stdout: ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let line = line.unwrap();
            let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if sender.send(value).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A folder of one test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) fn file(folder: &str, name: &str, text: &str) -> String {
    let path = self::folder(folder).join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A certificate that is its own root, for this name, and its key: two files.
pub(crate) fn identity(folder: &str, name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let write = |what: &str, text: &str| file(folder, &format!("{name}.{what}"), text);
    (write("pem", &certificate), write("key", &key.serialize_pem()))
}

pub(crate) fn over_tcp<'a>(
    command: &'a str,
    user: &[&'a str; 2],
    server: &'a str,
    rest: &[&'a str],
) -> Vec<&'a str> {
    let mut args = vec![command, "--transport", "tcp", "--server", server];
    args.extend(user);
    args.extend(rest);
    args
}

/// A path in the folder of one test at which there is nothing.
pub(crate) fn absent(folder: &str, name: &str) -> String {
    let path = self::folder(folder).join(name);
    let _ = fs::remove_file(&path);
    path.to_str().unwrap().to_owned()
}
