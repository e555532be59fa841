//! From the text of a Dockerfile to steps. Pure.

use std::collections::BTreeMap;

use super::words::{self, Variables};

/// One instruction with the line it begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Line number, from 1.
    pub line: usize,
    /// What to do.
    pub instruction: Instruction,
}

/// What can be done without running anything. Variables are replaced already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// The base image, or `scratch`.
    From(String),
    /// Files of the context into the image.
    Copy {
        /// Patterns, relative to the context.
        sources: Vec<String>,
        /// Where to.
        destination: String,
        /// Owner and group ids.
        owner: Option<(u64, u64)>,
        /// Permissions.
        mode: Option<u32>,
    },
    /// Environment variables.
    Env(Vec<(String, String)>),
    /// Working directory of what follows and of the image.
    Workdir(String),
    /// User and group.
    User(String),
    /// Ports, such as `80/tcp`.
    Expose(Vec<String>),
    /// Labels.
    Label(Vec<(String, String)>),
    /// Program and its first arguments.
    Entrypoint(Vec<String>),
    /// Default arguments.
    Cmd(Vec<String>),
}

/// A line that is not understood or not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Endings that `ADD` would unpack.
const ARCHIVES: &[&str] = &[".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"];

/// Reads a Dockerfile; `arguments` are the values given for `ARG`.
pub fn parse(text: &str, arguments: &BTreeMap<String, String>) -> Result<Vec<Step>, ParseError> {
    let mut reader = Reader { arguments, variables: Variables::new(), seen_from: false };
    let mut steps = Vec::new();
    for (line, text) in logical_lines(text)? {
        match reader.instruction(&text) {
            Ok(Some(instruction)) => steps.push(Step { line, instruction }),
            Ok(None) => {}
            Err(reason) => return Err(ParseError { line, reason }),
        }
    }
    if reader.seen_from { Ok(steps) } else { Err(ParseError { line: 1, reason: "there is no FROM".to_owned() }) }
}

/// Joins continued lines; leaves out comments and empty lines, also between continued ones.
fn logical_lines(text: &str) -> Result<Vec<(usize, String)>, ParseError> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim());
        if let Some(comment) = line.strip_prefix('#') {
            if lines.is_empty() && open.is_none() && comment.trim_start().to_ascii_lowercase().starts_with("escape") {
                return Err(ParseError { line: number, reason: "the escape directive is not supported".to_owned() });
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let (start, mut whole) = open.take().unwrap_or((number, String::new()));
        match line.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                open = Some((start, whole));
            }
            None => {
                whole.push_str(line);
                lines.push((start, whole));
            }
        }
    }
    lines.extend(open);
    Ok(lines)
}

struct Reader<'a> {
    arguments: &'a BTreeMap<String, String>,
    variables: Variables,
    seen_from: bool,
}

impl Reader<'_> {
    fn instruction(&mut self, line: &str) -> Result<Option<Instruction>, String> {
        let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (keyword, rest) = (keyword.to_ascii_uppercase(), rest.trim());
        if !self.seen_from && !matches!(keyword.as_str(), "FROM" | "ARG") {
            return Err(format!("{keyword} before FROM"));
        }
        if rest.is_empty() {
            return Err(format!("{keyword} needs an argument"));
        }
        let instruction = match keyword.as_str() {
            "ARG" => return self.arg(rest).map(|()| None),
            "FROM" => self.from(rest)?,
            "COPY" => self.copy(rest)?,
            "ADD" => self.add(rest)?,
            "ENV" => {
                let pairs = self.pairs(rest)?;
                self.variables.extend(pairs.iter().cloned());
                Instruction::Env(pairs)
            }
            "LABEL" => Instruction::Label(self.pairs(rest)?),
            "WORKDIR" => Instruction::Workdir(words::expand(rest, &self.variables)?),
            "USER" => Instruction::User(words::expand(rest, &self.variables)?),
            "EXPOSE" => Instruction::Expose(self.ports(rest)?),
            "ENTRYPOINT" => Instruction::Entrypoint(command(rest)?),
            "CMD" => Instruction::Cmd(command(rest)?),
            "RUN" => return Err("RUN is not supported: nothing is run while building; copy finished files".to_owned()),
            "ONBUILD" | "HEALTHCHECK" | "SHELL" | "STOPSIGNAL" | "VOLUME" | "MAINTAINER" => {
                return Err(format!("{keyword} is not supported"));
            }
            _ => return Err(format!("{keyword} is not an instruction")),
        };
        Ok(Some(instruction))
    }

    fn arg(&mut self, rest: &str) -> Result<(), String> {
        for word in words::split(rest, &self.variables)? {
            let (name, default) = word.split_once('=').map_or((word.as_str(), None), |(n, d)| (n, Some(d)));
            let value = self.arguments.get(name).map(String::as_str).or(default);
            if let Some(value) = value {
                self.variables.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    fn from(&mut self, rest: &str) -> Result<Instruction, String> {
        if self.seen_from {
            return Err("a second FROM: builds of several stages are not supported".to_owned());
        }
        self.seen_from = true;
        let words = words::split(rest, &self.variables)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [flag, ..] if flag.starts_with("--") => Err(format!("{flag} is not supported")),
            [image] => Ok(Instruction::From((*image).to_owned())),
            [image, keyword, _] if keyword.eq_ignore_ascii_case("as") => Ok(Instruction::From((*image).to_owned())),
            _ => Err("FROM takes one image".to_owned()),
        }
    }

    fn copy(&self, rest: &str) -> Result<Instruction, String> {
        let (mut owner, mut mode) = (None, None);
        let mut rest = rest;
        while rest.starts_with("--") {
            let (flag, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            rest = after.trim_start();
            let flag = words::expand(flag, &self.variables)?;
            match flag.split_once('=') {
                Some(("--chown", value)) => owner = Some(parse_owner(value)?),
                Some(("--chmod", value)) => mode = Some(parse_mode(value)?),
                _ => return Err(format!("{flag} is not supported: only --chown and --chmod are")),
            }
        }
        if rest.starts_with("<<") {
            return Err("here-documents are not supported".to_owned());
        }
        let mut sources = match list(rest) {
            Some(words) => {
                let expanded = words.iter().map(|word| words::expand_whole(word, &self.variables));
                expanded.collect::<Result<Vec<_>, _>>()?
            }
            None => words::split(rest, &self.variables)?,
        };
        let destination = sources.pop().unwrap_or_default();
        if sources.is_empty() {
            return Err("a source and a destination are needed".to_owned());
        }
        if sources.len() > 1 && !destination.ends_with('/') && destination != "." {
            return Err("with several sources the destination must be a folder: let it end with /".to_owned());
        }
        Ok(Instruction::Copy { sources, destination, owner, mode })
    }

    fn add(&self, rest: &str) -> Result<Instruction, String> {
        let instruction = self.copy(rest)?;
        if let Instruction::Copy { sources, .. } = &instruction {
            for source in sources {
                if source.contains("://") || source.starts_with("git@") {
                    return Err(format!("{source}: ADD takes local files only"));
                }
                if ARCHIVES.iter().any(|ending| source.to_ascii_lowercase().ends_with(ending)) {
                    return Err(format!("{source}: unpacking archives is not supported; COPY does not unpack"));
                }
            }
        }
        Ok(instruction)
    }

    /// `KEY=value ...`, or the old form `KEY value with blanks`.
    fn pairs(&self, rest: &str) -> Result<Vec<(String, String)>, String> {
        let first = rest.split(char::is_whitespace).next().unwrap_or_default();
        if !first.contains('=') {
            let (key, value) = rest.split_once(char::is_whitespace).ok_or("a value is missing")?;
            return Ok(vec![(key.to_owned(), words::expand(value.trim(), &self.variables)?)]);
        }
        let words = words::split(rest, &self.variables)?.into_iter();
        let pairs = words.map(|word| match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("{word:?} is not KEY=value")),
        });
        pairs.collect()
    }

    fn ports(&self, rest: &str) -> Result<Vec<String>, String> {
        let words = words::split(rest, &self.variables)?.into_iter();
        let ports = words.map(|word| {
            let (port, protocol) = word.split_once('/').unwrap_or((&word, "tcp"));
            let protocol = protocol.to_ascii_lowercase();
            if port.parse::<u16>().is_ok_and(|port| port > 0) && matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
                Ok(format!("{port}/{protocol}"))
            } else {
                Err(format!("{word:?} is not a port such as 80 or 53/udp"))
            }
        });
        ports.collect()
    }
}

/// The list form, `["a", "b"]`.
fn list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// A command in the list form, or for a shell.
fn command(text: &str) -> Result<Vec<String>, String> {
    match list(text) {
        Some(words) => Ok(words),
        None if text.starts_with('[') => Err("the list is not valid JSON: use double quotes".to_owned()),
        None => Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()]),
    }
}

fn parse_owner(text: &str) -> Result<(u64, u64), String> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let id = |name: &str| match name {
        "root" => Ok(0),
        number => number.parse().map_err(|_| format!("--chown={text}: only numbers and root are supported")),
    };
    Ok((id(user)?, id(group)?))
}

fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| format!("--chmod={text} is not an octal mode such as 0755"))
}
