//! Tables for people, JSON and YAML for machines.

use std::io::{ErrorKind, Write};

use anyhow::Context;
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

/// Prints bytes as they are; whether anybody still reads them (`| head` does not for long).
///
/// # Errors
/// They cannot be written, for example because the disk is full.
pub(crate) fn print_bytes(out: &mut impl Write, bytes: &[u8]) -> anyhow::Result<bool> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("write the output"),
    }
}

/// A cell of a server-side table.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_cannot_be_written_is_told_unless_nobody_reads_it() {
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let error = print_bytes(&mut full, b"text").expect_err("it is full");
        assert!(format!("{error:#}").starts_with("write the output: No space left"), "{error:#}");
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        assert!(print_bytes(&mut writer, b"text").expect("somebody could read it"));
        drop(reader);
        assert!(!print_bytes(&mut writer, b"text").expect("nobody wants it"));
    }
}
