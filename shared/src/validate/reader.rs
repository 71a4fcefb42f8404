//! Reads JSON member by member and collects all faults instead of stopping at the first.
//!
//! Each explanation is English, then Chinese. Both halves state the whole rule: the limit, the names, the number.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{
    Place,
    fault::{Fault, LIMIT},
};

/// The fault of an empty text.
pub const EMPTY: &str = "must not be empty / 不能为空";
const MISSING: &str = "is missing / 未填写";

/// Collects the faults of one document.
#[derive(Debug, Default)]
pub struct Reader {
    faults: Vec<Fault>,
    names_fields: bool,
}

/// An object of the document, with its place.
#[derive(Clone, Copy, Debug)]
pub struct Object<'p, 'v> {
    /// The object's place.
    pub place: Place<'p>,
    /// The object's members.
    pub members: &'v Map<String, Value>,
}

impl<'v> Object<'_, 'v> {
    /// Returns a member that is not null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'v Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }
}

impl Reader {
    /// Creates a reader of a document (a menu, the reply rules). Its faults have a pointer only.
    #[must_use]
    pub fn of_document() -> Self {
        Self::default()
    }

    /// Creates a reader of a request. Its faults also have a dotted `field`.
    #[must_use]
    pub fn of_request() -> Self {
        Self {
            names_fields: true,
            ..Self::default()
        }
    }

    /// Returns the value `read` if there is no fault.
    ///
    /// # Errors
    /// All faults in the order of reading, at most 100.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Vec<Fault>> {
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            _ => Err(self.faults),
        }
    }

    /// Returns the number of faults so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.faults.len()
    }

    /// Adds a fault at `place`, unless the report is full.
    pub fn fault(&mut self, place: &Place<'_>, detail: impl Into<String>) {
        if self.faults.len() < LIMIT {
            let mut fault = Fault::new(place.pointer(), detail);
            let field = place.field().replace(char::is_control, "\u{fffd}");
            fault.field = Some(field).filter(|field| self.names_fields && !field.is_empty());
            self.faults.push(fault);
        }
    }

    /// Adds the fault of a missing member.
    pub fn missing(&mut self, place: &Place<'_>) {
        self.fault(place, MISSING);
    }

    /// Reads an object with any members.
    pub fn object<'p, 'v>(&mut self, place: Place<'p>, value: &'v Value) -> Option<Object<'p, 'v>> {
        let Some(members) = value.as_object() else {
            self.fault(&place, "must be an object / 应为对象");
            return None;
        };
        Some(Object { place, members })
    }

    /// Reads an object whose members must be among `known`.
    pub fn object_of<'p, 'v>(&mut self, place: Place<'p>, value: &'v Value, known: &[&str]) -> Option<Object<'p, 'v>> {
        let object = self.object(place, value)?;
        self.known_members(&object, known);
        Some(object)
    }

    /// Adds a fault for each member of `object` that is not among `known`.
    pub fn known_members(&mut self, object: &Object<'_, '_>, known: &[&str]) {
        for name in object.members.keys().filter(|name| !known.contains(&name.as_str())) {
            if self.faults.len() == LIMIT {
                return;
            }
            let (names, named) = in_both(known);
            let (meant, meant_too) = did_you_mean(name, known);
            self.fault(
                &object.place.member(name),
                format!("is unknown; known are {names}{meant} / 不是可用字段；可用字段：{named}{meant_too}"),
            );
        }
    }

    /// Reads a text.
    pub fn text<'v>(&mut self, place: &Place<'_>, value: &'v Value) -> Option<&'v str> {
        let text = value.as_str();
        if text.is_none() {
            self.fault(place, "must be a text / 应为字符串");
        }
        text
    }

    /// Reads the text `name`, which must be there and not empty.
    pub fn required_text<'v>(
        &mut self,
        object: &Object<'_, 'v>,
        name: &str,
        is_empty: fn(&str) -> bool,
    ) -> Option<&'v str> {
        let place = object.place.member(name);
        let Some(value) = object.get(name) else {
            self.missing(&place);
            return None;
        };
        let text = self.text(&place, value)?;
        if is_empty(text) {
            self.fault(&place, EMPTY);
            return None;
        }
        Some(text)
    }

    /// Reads the text `name`, which may be absent or null.
    pub fn optional_text<'v>(&mut self, object: &Object<'_, 'v>, name: &str) -> Option<&'v str> {
        self.text(&object.place.member(name), object.get(name)?)
    }

    /// Checks that `text` has at most `limit` bytes of UTF-8.
    pub fn at_most(&mut self, place: &Place<'_>, text: &str, limit: usize) -> bool {
        let (length, is_short) = (text.len(), text.len() <= limit);
        if !is_short {
            self.fault(
                place,
                format!("has {length} bytes of UTF-8, at most {limit} are allowed / 共 {length} 字节（UTF-8），最多 {limit} 字节"),
            );
        }
        is_short
    }

    /// Checks that `text` has at most `limit` characters.
    pub fn at_most_characters(&mut self, place: &Place<'_>, text: &str, limit: usize) {
        let length = text.chars().count();
        if length > limit {
            self.fault(
                place,
                format!("has {length} characters, at most {limit} are allowed / 共 {length} 个字符，最多 {limit} 个"),
            );
        }
    }

    /// Checks that `text` has no control characters.
    pub fn no_control_characters(&mut self, place: &Place<'_>, text: &str) -> bool {
        let is_clean = !text.contains(char::is_control);
        if !is_clean {
            self.fault(place, "must not hold control characters / 不能包含控制字符");
        }
        is_clean
    }

    /// Checks that `url` is `https://` or `http://`, in any case, with something after it.
    pub fn web_address(&mut self, place: &Place<'_>, url: &str) -> bool {
        let is_address = url.split_once("://").is_some_and(|(scheme, rest)| {
            !rest.is_empty() && ["https", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        });
        if !is_address {
            self.fault(
                place,
                "must begin with https:// or http:// and a host / 须以 https:// 或 http:// 加域名开头",
            );
        }
        is_address
    }

    /// Reads a boolean.
    pub fn boolean(&mut self, place: &Place<'_>, value: &Value) -> Option<bool> {
        let boolean = value.as_bool();
        if boolean.is_none() {
            self.fault(place, "must be true or false / 应为 true 或 false");
        }
        boolean
    }

    /// Reads an integer, 0 or more.
    pub fn integer(&mut self, place: &Place<'_>, value: &Value) -> Option<u64> {
        let integer = value.as_u64();
        if integer.is_none() {
            self.fault(place, "must be an integer, 0 or more / 应为不小于 0 的整数");
        }
        integer
    }

    /// Reads the text `name`, which must be one of `known`.
    pub fn one_of<'k>(&mut self, object: &Object<'_, '_>, name: &str, known: &[&'k str]) -> Option<&'k str> {
        self.known_text(&object.place.member(name), object.get(name), known)
    }

    /// Reads a text that must be one of `known`.
    pub fn known_text<'k>(&mut self, place: &Place<'_>, value: Option<&Value>, known: &[&'k str]) -> Option<&'k str> {
        let given = value.and_then(Value::as_str);
        let found = known.iter().find(|known| Some(**known) == given);
        if found.is_none() {
            let (names, named) = in_both(known);
            let (meant, meant_too) = did_you_mean(given.unwrap_or_default(), known);
            let detail = match known {
                [only] => format!("must be {only} / 应为 {only}"),
                _ => format!("must be one of {names}{meant} / 应为 {named} 之一{meant_too}"),
            };
            self.fault(place, detail);
        }
        found.copied()
    }

    /// Reads a list of any length.
    pub fn list<'v>(&mut self, place: &Place<'_>, value: &'v Value) -> Option<&'v [Value]> {
        let list = value.as_array();
        if list.is_none() {
            self.fault(place, "must be a list / 应为数组");
        }
        list.map(Vec::as_slice)
    }

    /// Reads a list whose length must be in `sizes`. Returns a list of another length too, with a fault.
    pub fn list_of<'v>(
        &mut self,
        place: &Place<'_>,
        value: &'v Value,
        sizes: RangeInclusive<usize>,
    ) -> Option<&'v [Value]> {
        let list = self.list(place, value)?;
        let (least, most, count) = (sizes.start(), sizes.end(), list.len());
        if !sizes.contains(&count) {
            self.fault(
                place,
                format!("must hold {least} to {most} elements, it holds {count} / 应有 {least} 至 {most} 项，现有 {count} 项"),
            );
        }
        Some(list)
    }
}

/// Joins `names` to an English and a Chinese list.
fn in_both(names: &[&str]) -> (String, String) {
    (names.join(", "), names.join("、"))
}

/// Asks "did you mean" for the nearest of `known`, in English and Chinese. Empty when none is near.
#[must_use]
pub fn did_you_mean(name: &str, known: &[&str]) -> (String, String) {
    match nearest(name, known) {
        Some(meant) => (format!("; did you mean {meant}?"), format!("；是否想写 {meant}？")),
        None => Default::default(),
    }
}

/// Returns the nearest of `known`: case is ignored, and one edit in three characters is tolerated.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name: Vec<char> = name.chars().take(64).map(|c| c.to_ascii_lowercase()).collect();
    let edits = |known: &&'k str| {
        let known = known.to_ascii_lowercase();
        edits(&name, &known.chars().collect::<Vec<_>>())
    };
    let near = known.iter().map(|known| (edits(known), *known));
    let (_, nearest) = near
        .filter(|(edits, known)| edits * 3 <= known.len().max(3))
        .min_by_key(|(edits, _)| *edits)?;
    Some(nearest)
}

/// Returns the edit distance, in which a swap of neighbours is one edit (optimal string alignment).
fn edits(one: &[char], other: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, &c) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &d) in other.iter().enumerate() {
            let mut least = (last[column] + usize::from(c != d))
                .min(last[column + 1] + 1)
                .min(current[column] + 1);
            if row > 0 && column > 0 && c == other[column - 1] && d == one[row - 1] {
                least = least.min(before_last[column - 1] + 1);
            }
            current.push(least);
        }
        (before_last, last) = (last, current);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::fault::assert_each_half_says_all, *};

    /// Returns one fault of each kind that a reader finds.
    fn every_fault() -> Vec<Fault> {
        let value = json!({
            "tousers": 1, "empty": "", "number": 7, "long": "长长", "control": "a\n", "url": "ftp://x", "yes": "yes",
            "version": -1, "match": "exakt", "list": 7, "short": [], "nothing": "x",
        });
        let known = [
            "touser", "empty", "number", "long", "control", "url", "yes", "version", "match", "list", "short",
            "nothing",
        ];
        let mut reader = Reader::of_request();
        assert!(reader.object(Place::Root, &json!([])).is_none());
        let object = reader.object_of(Place::Root, &value, &known).unwrap();
        reader.required_text(&object, "absent", str::is_empty);
        reader.required_text(&object, "empty", str::is_empty);
        reader.optional_text(&object, "number");
        reader.at_most(&Place::Root.member("long"), "长长", 5);
        reader.no_control_characters(&Place::Root.member("control"), "a\n");
        reader.web_address(&Place::Root.member("url"), "ftp://x");
        reader.boolean(&Place::Root.member("yes"), &value["yes"]);
        reader.integer(&Place::Root.member("version"), &value["version"]);
        reader.one_of(&object, "match", &["exact", "prefix"]);
        reader.one_of(&object, "nothing", &["warn"]);
        reader.list_of(&Place::Root.member("list"), &value["list"], 1..=3);
        reader.list_of(&Place::Root.member("short"), &value["short"], 1..=3);
        reader.finish(Some(())).unwrap_err()
    }

    #[test]
    fn every_fault_has_its_pointer_and_its_field() {
        let faults = every_fault();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "", "/tousers", "/absent", "/empty", "/number", "/long", "/control", "/url", "/yes", "/version",
                "/match", "/nothing", "/list", "/short",
            ]
        );
        for fault in faults {
            assert_eq!(fault.field.unwrap_or_default(), fault.pointer.trim_start_matches('/'));
        }
    }

    #[test]
    fn each_half_of_a_sentence_says_all() {
        let names = [
            "touser", "exact", "prefix", "warn", "true", "false", "version", "UTF", "https", "http",
        ];
        for fault in every_fault() {
            assert_each_half_says_all(&fault, &names);
        }
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest() {
        let known = ["touser", "template_id", "url", "data", "client_msg_id"];
        for (written, meant) in [
            ("tousers", Some("touser")),
            ("toUser", Some("touser")),
            ("tosuer", Some("touser")),
            ("templateid", Some("template_id")),
            ("template-id", Some("template_id")),
            ("clientMsgId", Some("client_msg_id")),
            ("date", Some("data")),
            ("uri", Some("url")),
            ("link", None),
            ("", None),
            ("好", None),
        ] {
            assert_eq!(nearest(written, &known), meant, "{written}");
        }
        let mut reader = Reader::of_document();
        reader.object_of(Place::Root, &json!({"tousers": 1}), &known);
        let [fault] = &reader.faults[..] else {
            panic!("{reader:?}")
        };
        let (english, chinese) = fault.detail.split_once(" / ").unwrap();
        assert!(
            english.ends_with("did you mean touser?") && chinese.ends_with("是否想写 touser？"),
            "{fault:?}"
        );
    }

    #[test]
    fn no_more_faults_are_kept_than_are_reported() {
        let members: Map<String, Value> = (0..1000).map(|number| (format!("m{number}"), json!(1))).collect();
        let mut reader = Reader::of_document();
        reader.object_of(Place::Root, &Value::Object(members), &["known"]);
        assert_eq!(reader.count(), LIMIT);
    }
}
