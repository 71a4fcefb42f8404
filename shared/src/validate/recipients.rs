//! A part of a campaign's audience: as JSON, or as CSV (RFC 4180).
//! See [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180).

use std::collections::{BTreeMap, HashSet};

use csv::{ReaderBuilder, StringRecord};
use serde_json::Value;

use super::{
    Fault, Object, Place, Reader,
    campaign::part_name,
    is_user_id,
    send::{data, holds_blanks, is_blank, names_several, openid},
    user_id,
};
use crate::{
    api::FieldValue,
    campaign::{OWN_DATA_BYTES, Recipient},
    json,
};

/// The most entries of a part: more do not fit into a request of 256 KiB.
pub const PART_LIMIT: usize = 100_000;

/// A part of an audience.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The part's name.
    pub name: String,
    /// The part's entries.
    pub recipients: Vec<Recipient>,
    /// The lines of the entries, if it came as CSV.
    pub lines: Option<Vec<u64>>,
}

impl Part {
    /// Returns the JSON pointer to an entry, or for CSV one that names its line.
    #[must_use]
    pub fn place(&self, position: usize) -> String {
        match self.lines.as_ref().and_then(|lines| lines.get(position)) {
            Some(line) => format!("/line {line}"),
            None => format!("/recipients/{position}"),
        }
    }
}

/// Reads a part from a JSON body.
///
/// # Errors
/// All faults, each with its position.
pub fn read_json(body: &Value) -> Result<Part, Vec<Fault>> {
    let mut reader = Reader::of_request();
    let part = part(&mut reader, body);
    reader.finish(part)
}

fn part(reader: &mut Reader, body: &Value) -> Option<Part> {
    let body = reader.object_of(Place::Root, body, &["part", "recipients"])?;
    let name = reader.required_text(&body, "part", is_blank);
    if let Some(name) = name {
        part_name(reader, &body.place.member("part"), name);
    }
    let place = body.place.member("recipients");
    let Some(list) = body.get("recipients") else {
        reader.missing(&place);
        return None;
    };
    let list = reader.list_of(&place, list, 1..=PART_LIMIT)?;
    let entries = list.iter().enumerate();
    let recipients = entries.filter_map(|(index, value)| entry(reader, place.element(index), value));
    let recipients: Vec<Recipient> = recipients.collect();
    Some(Part {
        name: name?.to_owned(),
        recipients,
        lines: None,
    })
}

fn entry(reader: &mut Reader, place: Place<'_>, value: &Value) -> Option<Recipient> {
    const NEITHER: &str =
        "must be an openid, {\"touser\": …} or {\"user\": …} / 应为 openid、{\"touser\": …} 或 {\"user\": …}";
    if !value.is_object() {
        return openid(reader, &place, value, NEITHER).map(Recipient::of);
    }
    let object = reader.object_of(place, value, &["touser", "user", "data"])?;
    let (touser, user) = (object.get("touser"), object.get("user"));
    if touser.is_some() == user.is_some() {
        reader.fault(&place, "must have one of touser and user / 应有 touser 与 user 之一");
        return None;
    }
    let touser = touser.and_then(|value| {
        openid(
            reader,
            &place.member("touser"),
            value,
            "must be an openid / 应为 openid",
        )
    });
    let user = user.and_then(|value| user_id(reader, &place.member("user"), value));
    let data = own_data(reader, &object);
    (touser.is_some() || user.is_some()).then(|| Recipient {
        openid: touser,
        user: user.map(str::to_owned),
        data,
    })
}

fn own_data(reader: &mut Reader, object: &Object<'_, '_>) -> BTreeMap<String, FieldValue> {
    let data = data(reader, object);
    check_size(reader, &object.place.member("data"), &data);
    data
}

fn check_size(reader: &mut Reader, place: &Place<'_>, data: &BTreeMap<String, FieldValue>) {
    let size = if data.is_empty() { 0 } else { json::write(data).len() };
    if size > OWN_DATA_BYTES {
        reader.fault(
            place,
            format!("has {size} bytes as JSON, at most {OWN_DATA_BYTES} are allowed / 序列化后共 {size} 字节，最多 {OWN_DATA_BYTES} 字节"),
        );
    }
}

/// Reads a part with the name `name` from CSV. The header has `touser` or `user`, and names of fields. An empty cell means the
/// campaign's value.
///
/// # Errors
/// All faults, each with its line.
pub fn read_csv(name: &str, csv: &str) -> Result<Part, Vec<Fault>> {
    let mut reader = Reader::of_request();
    part_name(&mut reader, &Place::Root.member("part"), name);
    let recipients = table(&mut reader, csv.strip_prefix('\u{feff}').unwrap_or(csv));
    let part = recipients.map(|(recipients, lines)| Part {
        name: name.to_owned(),
        recipients,
        lines: Some(lines),
    });
    reader.finish(part)
}

/// Reads the rows and their lines.
fn table(reader: &mut Reader, csv: &str) -> Option<(Vec<Recipient>, Vec<u64>)> {
    if let Some((line, wrong)) = wrong_quote(csv) {
        fault(reader, line, wrong.to_owned());
        return None;
    }
    let mut rows = ReaderBuilder::new()
        .flexible(true)
        .has_headers(false)
        .from_reader(csv.as_bytes());
    let mut rows = rows.records();
    let Some(Ok(header)) = rows.next() else {
        reader.fault(
            &Place::Root,
            "is empty: send CSV with a header / 为空，应为带表头的 CSV",
        );
        return None;
    };
    let columns = columns(reader, &header)?;
    let (mut recipients, mut lines) = (Vec::new(), Vec::new());
    let mut line_ends = LineEnds::of(csv);
    for row in rows {
        // The text is UTF-8 and rows may have any length, so nothing else can be wrong with one.
        let Ok(row) = row else { continue };
        let line = line_ends.line_of(&row);
        if row.len() != header.len() {
            let (found, wanted) = (row.len(), header.len());
            fault(
                reader,
                line,
                format!("has {found} cells, the header has {wanted} / 共 {found} 列，表头为 {wanted} 列"),
            );
            continue;
        }
        if let Some(entry) = row_entry(reader, &columns, &row, line) {
            recipients.push(entry);
            lines.push(line);
        }
    }
    if recipients.is_empty() && reader.count() == 0 {
        reader.fault(&Place::Root, "has no recipient below its header / 表头之下没有接收者");
    }
    Some((recipients, lines))
}

/// Counts the lines of a text up to its rows. The CSV reader's own count lacks the line feed before a row that follows `\r\n`.
struct LineEnds<'c> {
    csv: &'c [u8],
    counted: usize,
    line: u64,
}

impl<'c> LineEnds<'c> {
    const fn of(csv: &'c str) -> Self {
        Self {
            csv: csv.as_bytes(),
            counted: 0,
            line: 1,
        }
    }

    /// Returns the line in which `row` begins, from 1. Rows come in their order.
    fn line_of(&mut self, row: &StringRecord) -> u64 {
        let at = row
            .position()
            .and_then(|position| usize::try_from(position.byte()).ok());
        let start = at.unwrap_or(self.counted).clamp(self.counted, self.csv.len());
        let skipped = self.csv[start..]
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let passed = &self.csv[self.counted..start + skipped];
        self.counted += passed.len();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.line
    }
}

/// Finds a quote that RFC 4180 does not allow: its line, and what is wrong. The CSV reader would take the quote, and all
/// rows up to the next one, as part of the cell.
fn wrong_quote(csv: &str) -> Option<(u64, &'static str)> {
    enum At {
        CellStart,
        Plain,
        Quoted { since: u64 },
        QuoteInQuoted { since: u64 },
    }
    let (mut at, mut line) = (At::CellStart, 1);
    for character in csv.chars() {
        at = match (at, character) {
            (At::CellStart, '"') => At::Quoted { since: line },
            (At::Quoted { since }, '"') => At::QuoteInQuoted { since },
            // Two quotes inside are one.
            (At::QuoteInQuoted { since }, '"') | (At::Quoted { since }, _) => At::Quoted { since },
            (_, ',' | '\r' | '\n') => At::CellStart,
            (At::QuoteInQuoted { .. }, _) => {
                return Some((line, "has text after a closing quote / 右引号之后还有文字"));
            }
            _ => At::Plain,
        };
        line += u64::from(character == '\n');
    }
    match at {
        At::Quoted { since } => Some((since, "has a quote that is never closed / 引号没有闭合")),
        _ => None,
    }
}

/// The meaning of the columns.
struct Columns {
    /// The column that names the person, and whether it holds openids.
    person: usize,
    has_openids: bool,
    /// The columns of fields, with their names.
    fields: Vec<(usize, String)>,
}

fn columns(reader: &mut Reader, header: &StringRecord) -> Option<Columns> {
    let mut seen = HashSet::new();
    let mut person = None;
    let mut fields = Vec::new();
    for (index, name) in header.iter().map(str::trim).enumerate() {
        if name.is_empty() || !seen.insert(name) {
            fault(
                reader,
                1,
                format!("has a column without a name of its own: {name:?} / 表头中有空列名或重复列名：{name:?}"),
            );
            return None;
        }
        match name {
            "touser" | "user" if person.is_none() => person = Some((index, name == "touser")),
            "touser" | "user" => {
                fault(
                    reader,
                    1,
                    "must have one of touser and user / 表头应有 touser 与 user 之一",
                );
                return None;
            }
            name => fields.push((index, name.to_owned())),
        }
    }
    let Some((person, has_openids)) = person else {
        let found: Vec<&str> = header.iter().map(str::trim).collect();
        let found = found.join(", ");
        fault(
            reader,
            1,
            format!(
                "must be a header with touser or user, and names of fields; it is: {found} \
                 / 应为表头：touser 或 user，以及字段名；现为：{found}"
            ),
        );
        return None;
    };
    Some(Columns {
        person,
        has_openids,
        fields,
    })
}

fn row_entry(reader: &mut Reader, columns: &Columns, row: &StringRecord, line: u64) -> Option<Recipient> {
    let name = row.get(columns.person).unwrap_or_default().trim();
    let before = reader.count();
    if columns.has_openids {
        if name.is_empty() || names_several(name) || holds_blanks(name) {
            fault(
                reader,
                line,
                format!("has no openid: {name:?} / 没有合法的 openid：{name:?}"),
            );
        }
    } else if !is_user_id(name) {
        fault(
            reader,
            line,
            format!("has no user id: {name:?} / 没有合法的用户标识：{name:?}"),
        );
    }
    let fields = columns.fields.iter().filter_map(|(index, field)| {
        let value = row.get(*index).filter(|value| !value.is_empty())?;
        let value = FieldValue {
            value: value.to_owned(),
            color: None,
        };
        Some((field.clone(), value))
    });
    let data: BTreeMap<String, FieldValue> = fields.collect();
    let line_name = format!("line {line}");
    check_size(reader, &Place::Root.member(&line_name), &data);
    (reader.count() == before).then(|| Recipient {
        openid: columns.has_openids.then(|| name.to_owned()),
        user: (!columns.has_openids).then(|| name.to_owned()),
        data,
    })
}

fn fault(reader: &mut Reader, line: u64, detail: impl Into<String>) {
    reader.fault(&Place::Root.member(&format!("line {line}")), detail);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|fault| fault.pointer.as_str()).collect()
    }

    #[test]
    fn json_takes_openids_users_and_own_data() {
        let body =
            json!({"part": "1", "recipients": ["o1", {"touser": "o2", "data": {"thing1": "二"}}, {"user": "u-1"}]});
        let part = read_json(&body).unwrap();
        let names: Vec<_> = part.recipients.iter().map(Recipient::identity).collect();
        assert_eq!(names, [("openid", "o1"), ("openid", "o2"), ("user", "u-1")]);
        assert_eq!(part.recipients[1].data["thing1"].value, "二");
    }

    #[test]
    fn every_bad_entry_is_named_by_its_position() {
        let entries =
            json!(["o1", "", 7, {"touser": "o1", "user": "u"}, {}, {"touser": "a,b"}, {"user": "u", "dta": {}}]);
        let faults = read_json(&json!({"part": "1", "recipients": entries})).unwrap_err();
        let expected = [
            "/recipients/1",
            "/recipients/2",
            "/recipients/3",
            "/recipients/4",
            "/recipients/5/touser",
            "/recipients/6/dta",
        ];
        assert_eq!(pointers(&faults), expected);
        let long = json!([{"touser": "o1", "data": {"thing1": "x".repeat(OWN_DATA_BYTES)}}]);
        let faults = read_json(&json!({"part": "1", "recipients": long})).unwrap_err();
        assert_eq!(pointers(&faults), ["/recipients/0/data"]);
        for part in [json!(""), json!(7), json!("x".repeat(129)), json!("a\nb"), Value::Null] {
            assert!(
                read_json(&json!({"part": part, "recipients": ["o1"]})).is_err(),
                "{part}"
            );
        }
        assert!(read_json(&json!({"part": "1", "recipients": []})).is_err());
    }

    #[test]
    fn csv_is_read_as_excel_and_databases_write_it() {
        let rows = "touser,thing1,time2\r\no1,\"停水, 检修\",10:00\r\no2,,\r\n\"o3\",\"a \"\"b\"\"\nc\",\r\n";
        for csv in [rows.to_owned(), format!("\u{feff}{rows}"), rows.replace("\r\n", "\n")] {
            let part = read_csv("1", &csv).unwrap();
            let entries: Vec<_> = part
                .recipients
                .iter()
                .map(|entry| (entry.openid.as_deref().unwrap(), entry.data.len()))
                .collect();
            assert_eq!(entries, [("o1", 2), ("o2", 0), ("o3", 1)]);
            assert_eq!(part.recipients[0].data["thing1"].value, "停水, 检修");
            assert_eq!(part.recipients[2].data["thing1"].value, "a \"b\"\nc");
        }
        for (csv, line) in [
            ("touser,thing1\no1,\"x\no2,y\no3,z\n", "/line 2"),
            ("touser,thing1\no1,\"a\nb\"\no2,\"x\"y\n", "/line 4"),
        ] {
            assert_eq!(pointers(&read_csv("1", csv).unwrap_err()), [line], "{csv}");
        }
        let bare = read_csv("1", "touser,thing1\no1,say \"hi\"\n").unwrap();
        assert_eq!(bare.recipients[0].data["thing1"].value, "say \"hi\"");
        let users = read_csv("1", "user\nu-1\n用户 2\n").unwrap();
        assert_eq!(users.recipients[1].user.as_deref(), Some("用户 2"));
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        let csv = "touser,thing1\no1,x\n,y\no3\no 4,z\n";
        for csv in [csv.to_owned(), csv.replace('\n', "\r\n"), csv.replacen('\n', "\r\n", 2)] {
            let faults = read_csv("1", &csv).unwrap_err();
            assert_eq!(pointers(&faults), ["/line 3", "/line 4", "/line 5"], "{csv:?}");
        }
        let faults = read_csv("1", "touser,thing1\r\no1,\"a\r\nb\"\r\n\r\n,y\r\n").unwrap_err();
        assert_eq!(pointers(&faults), ["/line 5"]);
        let faults = read_csv("1", "user_id,thing1\nu1,x\n").unwrap_err();
        assert!(faults[0].detail.contains("user_id, thing1"), "{faults:?}");
        for csv in [
            "",
            "\n",
            "thing1\nx\n",
            "touser,user\no1,u1\n",
            "touser,a,a\no1,1,2\n",
            "touser,\no1,\n",
            "touser\n",
        ] {
            assert!(read_csv("1", csv).is_err(), "{csv:?}");
        }
        assert!(read_csv("", "touser\no1\n").is_err());
    }
}
