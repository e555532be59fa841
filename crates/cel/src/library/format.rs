//! Named formats of texts.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan_api::validation;
use regex::Regex;

use super::{no_overload, time, url};
use crate::functions::{Outcome, Row, Style::Global, Style::Member};
use crate::moment::Moment;
use crate::value::Value;

const FORMAT: &str = "kubernetes.NamedFormat";

/// A format by name.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    pub(crate) name: &'static str,
    /// What is wrong with a text.
    check: fn(&str) -> Vec<String>,
    /// How long a regular expression would be that does the same.
    pub(crate) size: u64,
}

const FORMATS: [Format; 13] = [
    Format { name: "dns1123Label", check: validation::is_dns1123_label, size: 30 },
    Format { name: "dns1123Subdomain", check: validation::is_dns1123_subdomain, size: 60 },
    Format { name: "dns1035Label", check: validation::is_dns1035_label, size: 30 },
    Format { name: "qualifiedName", check: validation::is_qualified_name, size: 60 },
    Format { name: "dns1123LabelPrefix", check: |text| validation::is_dns1123_label(&finished(text)), size: 30 },
    Format {
        name: "dns1123SubdomainPrefix",
        check: |text| validation::is_dns1123_subdomain(&finished(text)),
        size: 60,
    },
    Format { name: "dns1035LabelPrefix", check: |text| validation::is_dns1035_label(&finished(text)), size: 30 },
    Format { name: "labelValue", check: validation::is_valid_label_value, size: 40 },
    Format { name: "uri", check: |text| url::checked(text).err().into_iter().collect(), size: 1107 },
    Format { name: "uuid", check: |text| unless(UUID.is_match(text), "does not match the UUID format"), size: 66 },
    Format { name: "byte", check: |text| unless(STANDARD.decode(text).is_ok(), "invalid base64"), size: 82 },
    Format { name: "date", check: |text| unless(is_date(text), "invalid date"), size: 106 },
    Format { name: "datetime", check: |text| unless(Moment::parse(text).is_ok(), "invalid datetime"), size: 106 },
];

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    Regex::new(pattern).expect("the pattern is a constant")
});

macro_rules! constant {
    ($name:literal) => {
        Row(concat!("format.", $name), Global, &[], FORMAT, |_| match find($name) {
            Some(format) => Ok(Value::Format(format)),
            None => no_overload(),
        })
    };
}

pub(super) const ROWS: &[Row] = &[
    constant!("dns1123Label"),
    constant!("dns1123Subdomain"),
    constant!("dns1035Label"),
    constant!("qualifiedName"),
    constant!("dns1123LabelPrefix"),
    constant!("dns1123SubdomainPrefix"),
    constant!("dns1035LabelPrefix"),
    constant!("labelValue"),
    constant!("uri"),
    constant!("uuid"),
    constant!("byte"),
    constant!("date"),
    constant!("datetime"),
    Row("format.named", Global, &["string"], "optional(kubernetes.NamedFormat)", |values| match values {
        [Value::String(name)] => {
            Ok(find(name).map_or(Value::Optional(None), |format| Value::some(Value::Format(format))))
        }
        _ => no_overload(),
    }),
    Row("validate", Member, &[FORMAT, "string"], "optional(list(string))", validate),
];

fn find(name: &str) -> Option<Format> {
    FORMATS.iter().find(|format| format.name == name).copied()
}

fn unless(is_good: bool, complaint: &str) -> Vec<String> {
    if is_good { Vec::new() } else { vec![complaint.to_owned()] }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && time::parse_timestamp(text).is_some()
}

/// A prefix as the whole name that it could become.
fn finished(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => prefix.to_owned(),
    }
}

fn validate<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Format(format), Value::String(text)] = values else { return no_overload() };
    let problems = (format.check)(text);
    if problems.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::some(Value::list(problems.into_iter().map(Value::from).collect())))
}
