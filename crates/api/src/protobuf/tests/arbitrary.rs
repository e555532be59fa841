//! Arbitrary objects, made along the table of messages.

use super::*;
use crate::protobuf::table::{self, Field, Instead, Kind, Label, Message};

/// Numbers that follow from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64: <https://prng.di.unimi.it/splitmix64.c>
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn text(&mut self) -> String {
        let parts = ["a", "Zz", "\"", "\\", "\n", "\u{1}", "é", "€", "😀", "/", "0123456789abcdef", " ", "\u{7f}"];
        (0..=self.below(4)).map(|_| self.of(&parts)).collect()
    }

    fn object(&mut self, message: &'static Message, depth: usize) -> Value {
        let mut object = serde_json::Map::new();
        self.fill(&mut object, message, depth);
        Value::Object(object)
    }

    fn fill(&mut self, object: &mut serde_json::Map<String, Value>, message: &'static Message, depth: usize) {
        for field in &message.fields {
            let (Some(name), kind) = (field.name, field.kind) else {
                let Kind::Message(inner) = field.kind else { continue };
                self.fill(object, table::builtin().at(inner), depth);
                continue;
            };
            let is_deep = matches!(kind, Kind::Message(_) | Kind::Schema(_));
            if self.below(4) == 0 || (is_deep && depth == 0) {
                continue;
            }
            let depth = depth.saturating_sub(1);
            let value = match field.label {
                Label::Once => self.value(field, depth),
                Label::List => (0..self.below(3)).map(|_| self.value(field, depth)).collect(),
                Label::Map => (0..self.below(4)).map(|_| (self.text(), self.value(field, depth))).collect(),
            };
            object.insert(name.to_owned(), value);
        }
    }

    fn value(&mut self, field: &Field, depth: usize) -> Value {
        let schema = |random: &mut Self| random.object(table::builtin().schema(), depth);
        match field.kind {
            Kind::String => self.text().into(),
            Kind::Bool => true.into(),
            Kind::Int32 => self.of(&[0, 1, -1, 127, 128, i32::MIN, i32::MAX]).into(),
            Kind::Int64 => self.of(&[0, 1, -1, 300, i64::MIN, i64::MAX]).into(),
            Kind::Double => self.of(&[0.5, -2.0, 1e100]).into(),
            Kind::Bytes => self.of(&["", "AA==", "AAEC", "/+8="]).into(),
            Kind::Time => self.of(&["2026-01-02T03:04:05Z", "1969-12-31T23:59:59Z", "2000-02-29T00:00:00Z"]).into(),
            Kind::MicroTime => self.of(&["2026-01-02T03:04:05.678901Z", "1970-01-01T00:00:00.000001Z"]).into(),
            Kind::Duration => self.of(&["0s", "15s", "1m0.5s", "-1h0m0s"]).into(),
            Kind::Quantity => self.of(&["1", "100m", "1.5Gi"]).into(),
            Kind::IntOrString if self.below(2) == 0 => self.text().into(),
            Kind::IntOrString => self.of(&[1, -1, 8080]).into(),
            Kind::Json => match self.below(4) {
                0 => self.text().into(),
                1 => json!([1, 2.5, self.text()]),
                _ => json!({self.text(): {self.text(): {}}, self.text(): {".": {}, "k:{\"name\":\"a\"}": {}}}),
            },
            Kind::Strings => json!([self.text(), "b"]),
            Kind::Schema(instead) => match (instead, self.below(2)) {
                (_, 0) => schema(self),
                (Instead::Bool, _) => true.into(),
                (Instead::Schemas, _) => json!([schema(self), {}]),
                (Instead::Strings, _) => json!([self.text()]),
            },
            Kind::Message(inner) => self.object(table::builtin().at(inner), depth),
        }
    }

    /// The value as JSON, in any order and form.
    fn render(&mut self, value: &Value, out: &mut String) {
        self.space(out);
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                for index in (1..entries.len()).rev() {
                    entries.swap(index, self.below(index as u64 + 1) as usize);
                }
                out.push('{');
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.string(key, out);
                    self.space(out);
                    out.push(':');
                    self.render(value, out);
                }
                out.push('}');
            }
            Value::Array(list) => {
                out.push('[');
                for (index, value) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.render(value, out);
                }
                out.push(']');
            }
            Value::String(text) => self.string(text, out),
            scalar => out.push_str(&scalar.to_string()),
        }
        self.space(out);
    }

    fn string(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for char in text.chars() {
            if self.below(8) > 0 && !matches!(char, '"' | '\\' | '\0'..='\x1f') {
                out.push(char);
                continue;
            }
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
        out.push('"');
    }

    fn space(&mut self, out: &mut String) {
        if self.below(8) == 0 {
            out.push(self.of(&[' ', '\n', '\t', '\r']));
        }
    }
}

/// What is left of a value if nothing is said about what is nothing: reading shows the zeros of fields that are
/// always there.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let is_nothing = |value: &Value| {
                let zeros =
                    [json!(null), json!(false), json!(0), json!(""), json!("0"), json!("0s"), json!({}), json!([])];
                zeros.contains(value)
            };
            let entries = map.iter().map(|(key, value)| (key.clone(), bare(value)));
            Value::Object(entries.filter(|(_, value)| !is_nothing(value)).collect())
        }
        Value::Array(list) => list.iter().map(bare).collect(),
        scalar => scalar.clone(),
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_as_it_was(kind in 0_usize..500, seed: u64) {
        let mut random = Random(seed);
        let resources: Vec<&Resource> = builtin().resources().collect();
        let kind = resources[kind % resources.len()].group_version_kind();
        let Some(message) = message_of(kind) else { return Ok(()) };
        let mut object = random.object(message, 6);
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.kind.into();
        let bytes = written(&object).map_err(TestCaseError::fail)?;
        let limits = Limits { bytes: usize::MAX, depth: 100 };
        let read = decode(&bytes, None, &limits).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(bare(&read), bare(&object));

        let mut text = String::new();
        random.render(&object, &mut text);
        prop_assert_eq!(encode(text.as_bytes()).map_err(|error| TestCaseError::fail(error.to_string()))?, bytes);
    }

    #[test]
    fn damaged_json_never_panics(
        kind in 0_usize..500,
        seed: u64,
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        cut: Option<usize>,
    ) {
        let mut random = Random(seed);
        let resources: Vec<&Resource> = builtin().resources().collect();
        let kind = resources[kind % resources.len()].group_version_kind();
        let Some(message) = message_of(kind) else { return Ok(()) };
        let mut object = random.object(message, 3);
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.kind.into();
        let mut text = String::new();
        random.render(&object, &mut text);
        let mut text = text.into_bytes();
        for (place, byte) in damage {
            let place = place % text.len();
            text[place] = byte;
        }
        text.truncate(cut.map_or(usize::MAX, |cut| cut % text.len()));
        let _ = encode(&text);
        if let Ok(mut list) = List::new(kind, b"{}") {
            let _ = list.push(&text);
            let _ = list.finish();
        }
    }
}
