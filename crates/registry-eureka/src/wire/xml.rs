//! XML to the JSON that means the same, so that one decoder reads both; and names of elements.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

/// Deeper than any message of Eureka; a limit against stacks of brackets.
const DEEPEST: usize = 16;

/// An element that is being read.
struct Element {
    name: String,
    fields: Map<String, Value>,
    text: String,
}

/// Reads a document: an object with the root element as its only field.
///
/// Attributes become fields named `@attribute`; the text of an element that has attributes becomes
/// the field `$`; an element with text only becomes that text; repeated elements become an array.
pub(super) fn to_json(text: &str) -> Result<Value, String> {
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element { name: String::new(), fields: Map::new(), text: String::new() }];
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match event {
            Event::Start(start) => {
                if open.len() > DEEPEST {
                    return Err(format!("elements are nested deeper than {DEEPEST}"));
                }
                open.push(element(&start)?);
            }
            Event::Empty(start) => close(&mut open, element(&start)?),
            Event::End(_) => {
                // The reader checks that names match, so there is one besides the document itself.
                let Some(ended) = (open.len() > 1).then(|| open.pop()).flatten() else {
                    return Err("an element ends that never started".into());
                };
                close(&mut open, ended);
            }
            Event::Text(text) => append(&mut open, &text),
            Event::CData(text) => append(&mut open, &text),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
                match character {
                    Some(character) => append(&mut open, character.encode_utf8(&mut [0; 4])),
                    None => match quick_xml::escape::resolve_predefined_entity(&reference) {
                        Some(text) => append(&mut open, text),
                        None => return Err(format!("unknown entity {}", &*reference)),
                    },
                }
            }
            Event::Eof => break,
            // Document types could name files; nothing of them is read.
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(document), true) => Ok(Value::Object(document.fields)),
        _ => Err("the document ends before its last element".into()),
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let name = decode_name(start.name().into_inner());
    let mut fields = Map::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = quick_xml::escape::unescape(&attribute.value).map_err(|error| error.to_string())?;
        fields.insert(format!("@{}", attribute.key.into_inner()), Value::String(value.into_owned()));
    }
    Ok(Element { name, fields, text: String::new() })
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn close(open: &mut [Element], ended: Element) {
    let Some(parent) = open.last_mut() else { return };
    let text = ended.text.trim();
    let has_children = ended.fields.keys().any(|key| !key.starts_with('@'));
    let value = if ended.fields.is_empty() {
        Value::String(text.to_owned())
    } else {
        let mut fields = ended.fields;
        if !has_children && !text.is_empty() {
            fields.insert("$".to_owned(), Value::String(text.to_owned()));
        }
        Value::Object(fields)
    };
    match parent.fields.get_mut(&ended.name) {
        None => {
            parent.fields.insert(ended.name, value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => {
            let before = first.take();
            *first = Value::Array(vec![before, value]);
        }
    }
}

/// A key of the metadata as a name of an element, as XStream's friendly names spell it: `_` is
/// doubled, `$` is `_-`, and what a name cannot hold is `_.` and four hexadecimal digits.
///
/// None for what no name can say: an empty key, or one with characters beyond those digits.
pub(super) fn encode_name(key: &str) -> Option<String> {
    let mut name = String::with_capacity(key.len() + 2);
    for (index, character) in key.chars().enumerate() {
        let fits = character.is_ascii_alphabetic()
            || (index > 0 && (character.is_ascii_digit() || matches!(character, '-' | '.')));
        match character {
            '_' => name.push_str("__"),
            '$' => name.push_str("_-"),
            _ if fits => name.push(character),
            _ => {
                let code = u32::from(character);
                if code > 0xffff {
                    return None;
                }
                name.push_str(&format!("_.{code:04x}"));
            }
        }
    }
    (!name.is_empty()).then_some(name)
}

/// The reverse of [`encode_name`]; what it would not have written stays as it is.
pub(super) fn decode_name(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('_') {
        key.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            key.push('_');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('-') {
            key.push('$');
            rest = after;
        } else if let Some((character, after)) = hexadecimal(rest) {
            key.push(character);
            rest = after;
        } else {
            key.push('_');
        }
    }
    key.push_str(rest);
    key
}

fn hexadecimal(rest: &str) -> Option<(char, &str)> {
    let rest = rest.strip_prefix('.')?;
    let digits = rest.get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    let code = u32::from_str_radix(digits, 16).ok()?;
    Some((char::from_u32(code)?, &rest[4..]))
}
