//! A JSON object, written member by member into one buffer.
//!
//! This file exists to save microseconds: a `serde_json::Map` would allocate each key and value of each log line.

use serde::Serialize;

/// Bytes to allocate for a line at first: most lines are shorter.
pub(super) const LINE_CAPACITY: usize = 512;

/// A JSON object without its closing brace.
pub(super) struct Object(Vec<u8>);

impl Object {
    pub(super) fn new() -> Self {
        let mut json = Vec::with_capacity(LINE_CAPACITY);
        json.push(b'{');
        Self(json)
    }

    /// Appends a member. The caller ensures that no two members have the same name.
    pub(super) fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.name(name);
        self.write(value);
    }

    /// Appends a copy of `object` as a member.
    pub(super) fn object(&mut self, name: &str, object: &Self) {
        self.name(name);
        self.0.extend_from_slice(&object.0);
        self.0.push(b'}');
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.write(name);
        self.0.push(b':');
    }

    /// Writes `value`. Text, numbers and lists of them always serialize.
    fn write<T: Serialize + ?Sized>(&mut self, value: &T) {
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    /// Closes the object and ends the line.
    pub(super) fn into_line(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}
