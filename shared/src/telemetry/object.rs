//! A JSON object, written member by member.

use serde::Serialize;

/// Bytes that most lines stay below.
pub(super) const LINE_CAPACITY: usize = 512;

/// A JSON object without its closing brace.
pub(super) struct Object(Vec<u8>);

impl Object {
    pub(super) fn new() -> Self {
        let mut json = Vec::with_capacity(LINE_CAPACITY);
        json.push(b'{');
        Self(json)
    }

    /// Appends a member. Whoever writes a line takes care that no two have the same name.
    pub(super) fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.name(name);
        self.write(value);
    }

    /// Appends `object`, which stays as it is.
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

    /// What lines are made of is text, numbers and lists of them: all of it is JSON.
    fn write<T: Serialize + ?Sized>(&mut self, value: &T) {
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    /// The whole object, and the end of its line.
    pub(super) fn into_line(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}
