//! Tables for people, JSON and YAML for machines.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// How a command prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, with more columns.
    Wide,
    /// For machines.
    Json,
    /// For machines that read indentation.
    Yaml,
    /// Only `kind/name`, for scripts.
    Name,
}

/// Prints a table in the style of the field: two blanks between columns, no lines.
pub fn table<S: Into<String>>(headers: impl IntoIterator<Item = S>, rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers.into_iter().map(Into::into).map(|header: String| header.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in table.lines() {
        print_line(line.trim_end());
    }
}

/// Prints a document.
///
/// # Errors
/// It has no form in the format.
pub fn document(value: &Value, format: Format) -> anyhow::Result<()> {
    let text = match format {
        Format::Yaml => serde_yaml_ng::to_string(value)?,
        _ => serde_json::to_string_pretty(value)?,
    };
    print_line(text.trim_end());
    Ok(())
}

/// Prints a list of this kind in a format that is not a table; returns whether it was asked for one.
///
/// # Errors
/// The list has no form in the format.
pub(crate) fn listed(kind: &str, list: &Value, format: Option<Format>) -> anyhow::Result<bool> {
    match format {
        Some(format @ (Format::Json | Format::Yaml)) => document(list, format)?,
        Some(Format::Name) => {
            for item in list.as_array().into_iter().flatten() {
                print_line(&format!("{kind}/{}", cell(&item["name"])));
            }
        }
        Some(Format::Wide) | None => return Ok(false),
    }
    Ok(true)
}

/// Prints a line; a reader that went away (`| head`) is not an error.
pub(crate) fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A cell of a server-side table.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
