//! The place of a value in a JSON document.

/// A place in a JSON document. Cheap: only a fault formats its pointer and its dotted name.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The document itself.
    Root,
    /// A member of an object.
    Member(&'a Self, &'a str),
    /// An element of a list.
    Element(&'a Self, usize),
    /// A member whose own members and elements share its name in [`Place::field`].
    Whole(&'a Self),
}

impl<'a> Place<'a> {
    /// Returns the place of the member `name`.
    #[must_use]
    pub const fn member(&'a self, name: &'a str) -> Self {
        Self::Member(self, name)
    }

    /// Returns the place of the element `index`.
    #[must_use]
    pub const fn element(&'a self, index: usize) -> Self {
        Self::Element(self, index)
    }

    /// Returns the JSON pointer (RFC 6901), such as `/data/thing1/value`.
    #[must_use]
    pub fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(parent, name) => format!("{}/{}", parent.pointer(), escape_pointer(name)),
            Self::Element(parent, index) => format!("{}/{index}", parent.pointer()),
            Self::Whole(place) => place.pointer(),
        }
    }

    /// Returns the dotted name, such as `data.thing1.value`. Empty for the document itself.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(parent, _) | Self::Element(parent, _) if parent.is_whole() => parent.field(),
            Self::Member(Self::Root, name) => (*name).to_owned(),
            Self::Member(parent, name) => format!("{}.{name}", parent.field()),
            Self::Element(parent, index) => format!("{}.{index}", parent.field()),
            Self::Whole(place) => place.field(),
        }
    }

    const fn is_whole(&self) -> bool {
        match self {
            Self::Root => false,
            Self::Member(parent, _) | Self::Element(parent, _) => parent.is_whole(),
            Self::Whole(_) => true,
        }
    }
}

/// Escapes one token of a JSON pointer.
#[must_use]
pub(crate) fn escape_pointer(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pointer_leads_to_its_place_whatever_the_names_are() {
        let document = json!({"data": {"a/b~1~": ["x", {"": 7}]}});
        let data = Place::Root.member("data");
        let list = data.member("a/b~1~");
        let element = list.element(1);
        let place = element.member("");
        assert_eq!(place.pointer(), "/data/a~1b~01~0/1/");
        assert_eq!(document.pointer(&place.pointer()), Some(&json!(7)));
        assert_eq!(document.pointer(&Place::Root.pointer()), Some(&document));
    }

    #[test]
    fn a_field_is_dotted_and_ends_where_a_member_is_named_as_a_whole() {
        let touser = Place::Root.member("touser");
        let whole = Place::Whole(&touser);
        let element = whole.element(3);
        assert_eq!(
            (element.field().as_str(), element.pointer().as_str()),
            ("touser", "/touser/3")
        );
        assert_eq!(element.member("x").field(), "touser");
        let data = Place::Root.member("data");
        assert_eq!(data.member("a.b").member("value").field(), "data.a.b.value");
    }
}
