//! How values are written and read: postcard, within a bound, and what serde cannot derive.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use postcard::ser_flavors::Flavor;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::security::Secret;
use crate::wire::{Message, Method, StatusCode};

/// Appends a value of at most `room` bytes, or says that it is longer; then what `to` has is of no use.
pub(super) fn write(value: &impl Serialize, to: &mut Vec<u8>, room: usize) -> bool {
    postcard::serialize_with_flavor(value, Bounded { to, room }).is_ok()
}

struct Bounded<'a> {
    to: &'a mut Vec<u8>,
    room: usize,
}

impl Flavor for Bounded<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.room = self
            .room
            .checked_sub(bytes.len())
            .ok_or(postcard::Error::SerializeBufferFull)?;
        self.to.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Nothing of a secret is written (X8).
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

/// An empty one, until it is given again.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self::new(String::new()))
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <Box<str>>::deserialize(deserializer)?;
        Self::parse(name.as_bytes()).ok_or_else(|| D::Error::custom("no method"))
    }
}

impl Serialize for StatusCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.code())
    }
}

impl<'de> Deserialize<'de> for StatusCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u16::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("no status code"))
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.bytes())
    }
}
