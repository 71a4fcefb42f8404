use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;

use super::*;

fn parse(body: &str) -> Tree {
    Tree::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body:?}"))
}

fn refused(body: &str) -> ParseError {
    match Tree::parse(body.as_bytes()) {
        Ok(document) => panic!("accepted {body:?} as {document:?}"),
        Err(error) => error,
    }
}

#[track_caller]
fn reads(body: &str, text: &str) {
    assert_eq!(parse(body).child("a").unwrap().value(), text, "{body:?}");
}

#[test]
fn text_is_kept_exactly() {
    reads(
        "<xml><a><![CDATA[ 1 < 2 && <b> &amp; ]]></a></xml>",
        " 1 < 2 && <b> &amp; ",
    );
    reads(
        "<xml><a>1 &lt; 2 &amp;&amp; &quot;x&quot; &gt; &apos;</a></xml>",
        "1 < 2 && \"x\" > '",
    );
    reads("<xml><a>x<![CDATA[]]]]><![CDATA[>]]>y<!-- no -->z</a></xml>", "x]]>yz");
    reads("<xml><a><![CDATA[first\r\nsecond]]></a></xml>", "first\r\nsecond");
    reads("<xml><a>  </a></xml>", "  ");
    reads("<xml><a>\n  <![CDATA[ K ]]>\n</a></xml>", " K ");
    reads("<xml><a> x <![CDATA[y]]> z </a></xml>", " x y z ");
    reads(
        "<xml><a x='1'>attributes are ignored</a></xml>",
        "attributes are ignored",
    );
}

#[test]
fn control_characters_survive() {
    reads("<xml><a><![CDATA[x\u{1d}y\u{0}]]></a></xml>", "x\u{1d}y\u{0}");
    reads("<xml><a>x\u{1d}y</a></xml>", "x\u{1d}y");
    reads("{\n\t\"a\":\"x\u{1d}\n\u{0}y\"}", "x\u{1d}\n\u{0}y");
    reads("{\"a\":\"\u{1d}\\\"\u{1d}\\\\\",\n\"b\":1}", "\u{1d}\"\u{1d}\\");
}

#[test]
fn character_references_are_resolved_and_forbidden_ones_dropped() {
    reads("<xml><a>&#x4e2d;&#25991;&#x1F600;</a></xml>", "中文😀");
    reads(
        "<xml><a>x&#0;&#1;&#x1d;&#xD800;&#xFFFE;&#x110000;&#99999999999;y</a></xml>",
        "xy",
    );
    for malformed in ["&#;", "&#x;", "&#xZZ;", "&#+65;", "&#-1;", "&# 65;", "&#X41;"] {
        let error = refused(&format!("<xml><a>{malformed}</a></xml>"));
        assert!(matches!(error, ParseError::Entity), "{malformed}: {error}");
    }
}

#[test]
fn elements_come_in_any_order_number_and_layout() {
    let document = parse(
        "\u{feff}\r\n<?xml version=\"1.0\"?>\n<!-- c -->\n<doc>\n <b/>\n <a> 7 </a>\n <a></a>\n</doc>\n<!-- d -->\n",
    );
    assert_eq!(document.name(), "doc");
    assert_eq!(document.value(), "");
    assert_eq!(document.children("a").map(Tree::value).collect::<Vec<_>>(), [" 7 ", ""]);
    assert_eq!(document.members().map(Tree::name).collect::<Vec<_>>(), ["b", "a", "a"]);
    assert_eq!(document.text("b"), None, "an empty text counts as absent");
    assert_eq!(document.text("A"), None, "names are exact");
    assert_eq!(
        (document.text("a"), document.word("a"), document.number::<i64>("a")),
        (Some(" 7 "), Some("7"), Some(7))
    );
    assert_eq!(document.number::<i64>("b"), None, "an empty number is no error");
}

#[test]
fn json_and_xml_give_the_same_tree() {
    let json = "\u{feff} {\"id\":9223372036854775809,\"n\":-3,\"f\":31.23,\"t\":true,\"e\":\"\",\"z\":null,\
                \"list\":[{\"x\":1},{\"x\":\"2\"}],\"one\":{\"x\":[]},\"id\":\"again\"}\n";
    let xml = "<xml><id>9223372036854775809</id><n>-3</n><f>31.23</f><t>true</t><e/><z/>\
               <list><x>1</x></list><list><x>2</x></list><one></one><id>again</id></xml>";
    let json = parse(json);
    assert_eq!(json, parse(xml));
    assert_eq!(
        json.to_json(),
        json!({"id": ["9223372036854775809", "again"], "n": "-3", "f": "31.23", "t": "true", "e": "", "z": "",
               "list": [{"x": "1"}, {"x": "2"}], "one": ""})
    );
}

#[test]
fn a_json_integer_that_would_lose_digits_is_refused() {
    assert!(matches!(
        refused("{\"MsgId\":123456789012345678901}"),
        ParseError::Json(_)
    ));
}

#[test]
fn dtds_entities_and_instructions_are_refused() {
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><xml><a>&b;</a></xml>";
    let external = "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><xml>&f;</xml>";
    for dtd in [
        bomb,
        external,
        "<!doctype x><xml/>",
        "<xml><!DOCTYPE x></xml>",
        "<xml/><!DOCTYPE x>",
    ] {
        assert!(matches!(refused(dtd), ParseError::Dtd), "{dtd}");
    }
    for entity in ["<xml>&nbsp;</xml>", "<xml>&LT;</xml>", "<xml>&a b;</xml>", "<xml/>&x;"] {
        assert!(matches!(refused(entity), ParseError::Entity), "{entity}");
    }
    let instructions = [
        "<?php x ?><xml/>",
        "<xml><?x?></xml>",
        "<xml/><?x?>",
        "<xml><?xml version=\"1.0\"?></xml>",
        "<!----><?xml?><xml/>",
    ];
    for instruction in instructions {
        assert!(
            matches!(refused(instruction), ParseError::ProcessingInstruction),
            "{instruction}"
        );
    }
}

#[test]
fn malformed_bodies_are_refused() {
    for empty in ["", " \n", "\u{feff}", "<!-- only -->", "<?xml version=\"1.0\"?>"] {
        assert!(matches!(refused(empty), ParseError::Empty), "{empty:?}");
    }
    for truncated in ["<xml>", "<xml><a></a>", "<xml>text"] {
        assert!(matches!(refused(truncated), ParseError::Truncated), "{truncated:?}");
    }
    for outside in [
        "<xml/>x",
        "<xml/><xml/>",
        "x<xml/>",
        "success",
        "[1]",
        "<xml/>]]>",
        "<xml/>&amp;",
        "<xml/>\u{a0}",
    ] {
        assert!(matches!(refused(outside), ParseError::OutsideRoot), "{outside:?}");
    }
    for xml in [
        "<xml",
        "<xml></a>",
        "<xml><a></xml></a>",
        "</xml>",
        "<xml>&amp</xml>",
        "<xml>a & b</xml>",
        "<xml><![CDATA[x]]</xml>",
    ] {
        assert!(matches!(refused(xml), ParseError::Xml(_)), "{xml:?}");
    }
    for json in [
        "{",
        "{}x",
        "{} {}",
        "{\"a\":}",
        "{\"a\":\"\\\u{1}\"}",
        "{a:1}",
        "{\"a\":1,}",
    ] {
        assert!(matches!(refused(json), ParseError::Json(_)), "{json:?}");
    }
    for bytes in [&b"<xml>\xff</xml>"[..], b"\xff\xfe<\0", b"{\"a\":\"\xd6\xd0\"}"] {
        assert!(
            matches!(Tree::parse(bytes).unwrap_err(), ParseError::NotUtf8(_)),
            "{bytes:?}"
        );
    }
}

#[test]
fn size_depth_and_count_are_bounded() {
    let sized = |size: usize| format!("<xml>{}</xml>", "x".repeat(size - 11));
    assert_eq!(parse(&sized(MAX_SIZE)).value().len(), MAX_SIZE - 11);
    assert!(matches!(refused(&sized(MAX_SIZE + 1)), ParseError::TooLarge(_)));

    let nested_xml = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let nested_json = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth - 1), "}".repeat(depth - 1));
    for nested in [nested_xml, nested_json] {
        parse(&nested(MAX_DEPTH));
        assert!(matches!(refused(&nested(MAX_DEPTH + 1)), ParseError::TooDeep));
    }
    assert!(
        matches!(refused(&"<a>".repeat(80_000)), ParseError::TooDeep),
        "no stack to overflow"
    );
    assert!(matches!(
        refused(&format!("{{\"a\":{}", "[".repeat(80_000))),
        ParseError::Json(_)
    ));

    let many_xml = |count: usize| format!("<xml>{}</xml>", "<a/>".repeat(count - 1));
    let many_json = |count: usize| format!("{{\"a\":[{}0]}}", "0,".repeat(count - 2));
    for many in [many_xml, many_json] {
        parse(&many(MAX_ELEMENTS));
        assert!(matches!(refused(&many(MAX_ELEMENTS + 1)), ParseError::TooManyElements));
    }
}

fn callback(fields: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[gh_1]]></ToUserName>\n<FromUserName><![CDATA[o1]]></FromUserName>\
         <CreateTime>1</CreateTime><MsgType><![CDATA[text]]></MsgType>{fields}<MsgId>1</MsgId></xml>"
    )
}

fn parse_callback(fields: &str) -> Tree {
    let body = callback(fields);
    Tree::parse_callback(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn names(document: &Tree) -> Vec<&str> {
    document.members().map(Tree::name).collect()
}

/// A text that a follower can make WeChat write into a callback.
const FORGED: &str = "]]></Label><Event><![CDATA[forged]]></Event><Label><![CDATA[";

#[test]
fn a_text_in_a_callback_ends_where_its_element_does() {
    for (fields, name, text) in [
        ("<Content><![CDATA[a[b[0]]>1]]></Content>", "Content", "a[b[0]]>1"),
        ("<Content>\n<![CDATA[ ]]> ]]>\n</Content >", "Content", " ]]> "),
        ("<Recognition><![CDATA[]]>]]></Recognition>", "Recognition", "]]>"),
        // The account chooses its own keys, so this text is not hostile.
        (
            "<EventKey><![CDATA[a]]>b]]></EventKey><Ticket><![CDATA[t]]></Ticket>",
            "EventKey",
            "a]]>b",
        ),
        ("<Content>1 &lt; 2</Content>", "Content", "1 < 2"),
        (
            "<EventKey><![CDATA[]]></EventKey><Content><![CDATA[x]]></Content>",
            "Content",
            "x",
        ),
    ] {
        assert_eq!(parse_callback(fields).text(name), Some(text), "{fields}");
    }
    let lists = parse_callback("<L><I><![CDATA[a]]></I><I><![CDATA[b]]></I></L><L><I><![CDATA[c]]></I></L>");
    assert_eq!(lists.to_json()["L"], json!([{"I": ["a", "b"]}, {"I": "c"}]));
}

#[test]
fn no_text_forges_an_element() {
    let fields = format!("<Label><![CDATA[{FORGED}]]></Label>");
    let place = parse_callback(&fields);
    assert_eq!(place.text("Label"), Some(FORGED));
    assert_eq!(place.word("MsgId"), Some("1"));
    assert!(place.child("Event").is_none());

    let fields =
        format!("<EventKey>k</EventKey><SendLocationInfo><Label><![CDATA[{FORGED}]]></Label></SendLocationInfo>");
    assert_eq!(
        names(&parse_callback(&fields))[4..],
        ["EventKey", "SendLocationInfo", "MsgId"]
    );

    // The second text contains the end tag of the first, so the two are ambiguous; still no forged element gets through.
    let fields = "<Title><![CDATA[a]]></Title><Description><![CDATA[]]></Title><MsgId>2</MsgId><a>&e;]]></Description>\
                  <Url><![CDATA[u]]></Url>";
    let link = parse_callback(fields);
    assert_eq!((link.word("MsgId"), link.child("a")), (Some("1"), None));
}

#[test]
fn an_escaped_section_end_in_a_callbacks_text_is_unescaped() {
    let document = parse_callback("<Content><![CDATA[a]]]]><![CDATA[>b]]></Content>");
    assert_eq!(document.text("Content"), Some("a]]>b"));
}

#[test]
fn there_is_no_ciphertext_behind_a_dtd() {
    let envelope = "<xml><ToUserName>g</ToUserName><Encrypt><![CDATA[c]]></Encrypt></xml>";
    assert_eq!(ciphertexts(envelope.as_bytes()), ["c"]);
    for dtd in [
        "<!DOCTYPE x [<!ENTITY a \"<b>\">]>",
        "<?xml version='1.0'?>\n<!doctype x>",
    ] {
        let body = format!("{dtd}{envelope}");
        assert_eq!(ciphertexts(body.as_bytes()), [""; 0], "{dtd}");
    }
    let text = envelope.replace(
        "<ToUserName>",
        "<Content><![CDATA[<!DOCTYPE x>]]></Content><ToUserName>",
    );
    assert_eq!(ciphertexts(text.as_bytes()), ["c"]);
}

#[test]
fn a_callback_without_an_end_and_markup_outside_of_texts_are_refused() {
    for fields in [
        "<Content><![CDATA[a]]>",
        "<Content><![CDATA[a]]></Other>",
        "<Content><![CDATA[a]]></Content><a>&e;</a>",
        "<!DOCTYPE x><Content><![CDATA[a]]></Content>",
    ] {
        assert!(Tree::parse_callback(callback(fields).as_bytes()).is_err(), "{fields}");
    }
}

#[test]
fn bytes_of_a_callback_that_are_not_utf8_are_replaced() {
    let body = callback("<Content><![CDATA[a?b]]></Content>");
    let bytes: Vec<u8> = body
        .bytes()
        .map(|byte| if byte == b'?' { 0xff } else { byte })
        .collect();
    assert_eq!(
        Tree::parse_callback(&bytes).unwrap().text("Content"),
        Some("a\u{fffd}b")
    );
}

/// Text full of characters that XML and CDATA treat specially, so that `]]` often meets `>`.
fn any_text() -> impl Strategy<Value = String> {
    const SPECIAL: &str = "]] ]]> > < & &amp; <![CDATA[ \r\n \" \\ \u{1d} 中 😀";
    let special = select(SPECIAL.split(' ').chain([" "]).collect::<Vec<_>>());
    let part = prop_oneof![3 => special.prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let name = || select(vec!["a", "b", "MsgId", "名", "x-1.y_z"]);
    let leaf = (name(), any_text()).prop_map(|(name, value)| Tree::leaf(name, value));
    leaf.prop_recursive(4, 40, 6, move |child| {
        (name(), vec(child, 1..6)).prop_map(|(name, children)| Tree {
            children,
            ..Tree::leaf(name, "")
        })
    })
}

/// Writes indented XML as WeChat does, with every other text escaped instead of in CDATA.
fn to_xml(document: &Tree, cdata: bool) -> String {
    let content = if document.children.is_empty() {
        if cdata {
            format!("<![CDATA[{}]]>", document.value.replace("]]>", "]]]]><![CDATA[>"))
        } else {
            document
                .value
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
        }
    } else {
        let children = document.children.iter().enumerate();
        children
            .map(|(i, child)| format!("\n  {}\n", to_xml(child, cdata ^ (i % 2 == 0))))
            .collect()
    };
    let name = &document.name;
    format!("<{name}>{content}</{name}>")
}

/// Broken XML and JSON, put together from pieces.
fn any_fragments() -> impl Strategy<Value = String> {
    const PIECES: &str = "<xml> </xml> <a> </a> <a/> < > </ /> <> </> <! <!- <!--> <!-- -- --> <![CDATA[ ]]> ]] <? ?> \
                          <??> <?xml <!DOCTYPE <!ENTITY & ; &# &#x &amp; 0 = ' \" { } [ ] : , \\ \\u 1e9 - null \
                          \u{1d} \u{0} \u{feff} 中";
    let pieces = select(PIECES.split(' ').chain([" ", "\n"]).collect::<Vec<_>>());
    vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

/// A follower's text that imitates elements of a callback.
fn any_imitation() -> impl Strategy<Value = String> {
    const PIECES: &str = "]]> </Content> <Content> <![CDATA[ </Title> <Title> ]]></Title> ]]></Description> ]]></Content> \
                          <MsgId>2</MsgId> <MsgType>event</MsgType> <FromUserName>o2</FromUserName> </xml> <!DOCTYPE &e; <a> x";
    vec(select(PIECES.split(' ').collect::<Vec<_>>()), 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_followers_text_is_read_exactly(text in prop_oneof![any_text(), any_imitation()]) {
        let read = parse_callback(&format!("<Content><![CDATA[{text}]]></Content>"));
        prop_assert_eq!(read.child("Content").unwrap().value(), &text);
        prop_assert_eq!(names(&read), ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId"]);
    }

    #[test]
    fn texts_that_follow_one_another_forge_nothing(title in any_imitation(), description in any_imitation()) {
        let read = parse_callback(&format!(
            "<Title><![CDATA[{title}]]></Title><Description><![CDATA[{description}]]></Description>"
        ));
        prop_assert_eq!(&names(&read)[..4], ["ToUserName", "FromUserName", "CreateTime", "MsgType"]);
        prop_assert!(names(&read)[4..].iter().all(|name| ["Title", "Description", "MsgId"].contains(name)));
        prop_assert_eq!(read.children("MsgId").map(Tree::value).collect::<Vec<_>>(), ["1"]);
    }

    #[test]
    fn what_is_written_as_xml_is_read(tree in any_tree(), cdata: bool) {
        prop_assert_eq!(Tree::parse(to_xml(&tree, cdata).as_bytes()).unwrap(), tree);
    }

    #[test]
    fn what_is_written_as_json_is_read(tree in any_tree()) {
        let json = json!({"root": tree.to_json()});
        let read = Tree::parse(json.to_string().as_bytes()).unwrap();
        prop_assert_eq!(read.to_json(), json);
    }

    #[test]
    fn bytes_never_panic(bytes in vec(any::<u8>(), 0..64)) {
        let _ = Tree::parse(&bytes);
    }

    #[test]
    fn fragments_never_panic(text in any_fragments()) {
        for text in [text.clone(), format!("<xml>{text}"), format!("{{\"a\":{text}")] {
            let _ = ciphertexts(text.as_bytes());
            let read = [Tree::parse(text.as_bytes()), Tree::parse_callback(text.as_bytes())];
            for document in read.into_iter().flatten() {
                prop_assert!(document.depth() <= MAX_DEPTH);
                let _ = document.to_json();
            }
        }
    }
}
