//! What simulated containers and commands do.

use std::time::Duration;

/// A scripted program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Lines it prints on standard output.
    pub output: Vec<String>,
    /// When and how it ends by itself.
    pub end: End,
    /// Whether it sends its standard input back.
    pub echoes_input: bool,
    /// How long it goes on after the stop signal.
    pub stop_delay: Duration,
}

/// How a program ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum End {
    /// Only when it is stopped.
    #[default]
    Never,
    /// With this code after this time.
    Exit {
        /// Exit code.
        code: i32,
        /// How long it runs.
        after: Duration,
    },
}

impl Program {
    /// A program that ends at once.
    pub fn exits(code: i32) -> Self {
        Self { end: End::Exit { code, after: Duration::ZERO }, ..Self::default() }
    }

    /// What a command line does: a few words of a shell are understood, all else runs until stopped.
    ///
    /// Understood are `true`, `false`, `exit N`, `echo WORDS`, `sleep SECONDS` and `cat`, with or without
    /// a path or `busybox` before them, also as `sh -c` scripts of one command or several with `;`.
    pub fn of_command(command: &[String]) -> Self {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        Self::of_words(&words)
    }

    fn of_words(words: &[&str]) -> Self {
        let Some((first, rest)) = words.split_first() else { return Self::default() };
        match (first.rsplit('/').next().unwrap_or_default(), rest) {
            ("busybox", rest) => Self::of_words(rest),
            ("sh", ["-c", script]) => Self::of_script(script),
            ("true", _) => Self::exits(0),
            ("false", _) => Self::exits(1),
            ("exit", rest) => Self::exits(rest.first().and_then(|code| code.parse().ok()).unwrap_or(0)),
            ("echo", rest) => Self { output: vec![rest.join(" ")], ..Self::exits(0) },
            ("cat", []) => Self { echoes_input: true, ..Self::exits(0) },
            ("sleep", [seconds]) => match seconds.parse() {
                Ok(seconds) => {
                    Self { end: End::Exit { code: 0, after: Duration::from_secs(seconds) }, ..Self::default() }
                }
                Err(_) => Self::exits(1),
            },
            _ => Self::default(),
        }
    }

    fn of_script(script: &str) -> Self {
        let mut whole = Self::exits(0);
        for line in script.split([';', '\n']) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            let step = Self::of_words(&words);
            whole.output.extend(step.output);
            whole.echoes_input |= step.echoes_input;
            whole.end = match (whole.end, step.end) {
                (End::Exit { after, .. }, End::Exit { code, after: longer }) => {
                    End::Exit { code, after: after + longer }
                }
                _ => End::Never,
            };
            if words[0] == "exit" || whole.end == End::Never {
                break;
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_understood() {
        let seconds = Duration::from_secs;
        let table: [(&[&str], &[&str], End); 7] = [
            (&["/bin/busybox", "true"], &[], End::Exit { code: 0, after: seconds(0) }),
            (&["false"], &[], End::Exit { code: 1, after: seconds(0) }),
            (&["/bin/sh", "-c", "echo a b; exit 3; echo c"], &["a b"], End::Exit { code: 3, after: seconds(0) }),
            (&["sh", "-c", "sleep 2; echo late"], &["late"], End::Exit { code: 0, after: seconds(2) }),
            (&["busybox", "sleep", "5"], &[], End::Exit { code: 0, after: seconds(5) }),
            (&["/shop", "storefront"], &[], End::Never),
            (&[], &[], End::Never),
        ];
        for (words, output, end) in table {
            let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let program = Program::of_command(&command);
            assert_eq!(
                (program.output, program.end),
                (output.iter().map(|l| (*l).to_owned()).collect(), end),
                "{words:?}"
            );
        }
    }
}
