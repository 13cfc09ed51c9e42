//! The one place that knows where shared test vectors are: `shared/vectors` beside the checkout, or under the folder
//! that the environment variable `SANSIP_SHARED` names.
//!
//! A test whose vectors are absent passes and says so on standard error, past the test runner's capture.

use std::io::Write;
use std::path::PathBuf;
use std::{env, fs};

use serde_json::Value;

/// The path of a file or folder under `shared`, where it exists. Otherwise the caller's test is to be skipped, which
/// has been said.
#[must_use]
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = env::var_os("SANSIP_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    skipped(&format!("shared/{path} is not beside the checkout"));
    None
}

/// The path of a file or folder of the vectors, where it exists.
#[must_use]
pub fn path(name: &str) -> Option<PathBuf> {
    shared(&format!("vectors/{name}"))
}

/// The bytes of a vector file.
///
/// # Panics
/// The file exists and cannot be read.
#[must_use]
pub fn bytes(name: &str) -> Option<Vec<u8>> {
    let path = path(name)?;
    match fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// A JSON file of the vectors.
///
/// # Panics
/// The file exists and is not JSON.
#[must_use]
pub fn json(name: &str) -> Option<Value> {
    match serde_json::from_slice(&bytes(name)?) {
        Ok(value) => Some(value),
        Err(error) => panic!("{name}: {error}"),
    }
}

/// A member that is text; `None` where it is absent or null.
#[must_use]
pub fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// A member that is text and has to be there.
///
/// # Panics
/// It is not.
#[must_use]
pub fn needed<'a>(object: &'a Value, name: &str) -> &'a str {
    text(object, name).unwrap_or_else(|| panic!("no {name} in {object}"))
}

/// The bytes of hexadecimal digits.
///
/// # Panics
/// It is anything else.
#[must_use]
pub fn from_hex(digits: &str) -> Vec<u8> {
    let octet = |at| {
        digits
            .get(at..at + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let octets: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(octet).collect();
    octets.unwrap_or_else(|| panic!("{digits:?} is not hexadecimal"))
}

/// Says that a test, or a part of one, does nothing, and why.
pub fn skipped(why: &str) {
    // Not `eprintln!`: the test runner swallows that when the test passes.
    // In one piece, or what others say stands in the middle of it.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}
