//! Writing to the terminal. Unlike `println!`, a reader that has gone away (`simdepot openapi | head`) is no panic.

use std::io::{self, Write};

use simdepot_application::AppError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As asked.
    Good,
    /// It ran, and found something wrong: exit code 1.
    Bad,
}

impl From<bool> for Outcome {
    fn from(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

/// Writes a text and a line feed to standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes an error and its causes to standard error, on one line.
pub(crate) fn error(error: &anyhow::Error) {
    // There is nowhere else to tell.
    let _ = writeln!(io::stderr(), "simdepot: {}", causes(error));
}

/// The chain of causes; one that its wrapper's text repeats already is left out.
fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
        if text.is_empty() {
            cause
        } else if text.ends_with(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}

/// What is wrong with the input, in the words of the command line: use cases name fields by pointer.
pub(crate) fn explained(error: AppError) -> anyhow::Error {
    let AppError::Invalid(errors) = error else {
        return error.into();
    };
    let told = errors.iter().map(|error| match error.pointer.strip_prefix(['?', '/']) {
        Some(field) => format!("--{} {}", field.replace('_', "-"), error.message),
        // A variable, which the message names.
        None => error.message.clone(),
    });
    anyhow::anyhow!(told.collect::<Vec<_>>().join("; "))
}

/// Whether the reader of our output has gone away.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn causes_are_told_once() {
        let inner: anyhow::Result<()> = Err(anyhow::anyhow!("no such file"));
        assert_eq!(
            causes(&inner.context("a.csv cannot be read").unwrap_err()),
            "a.csv cannot be read: no such file"
        );
        let repeated: anyhow::Result<()> = Err(anyhow::anyhow!("no such file"));
        assert_eq!(causes(&repeated.context("a.csv: no such file").unwrap_err()), "a.csv: no such file");
    }

    #[test]
    fn what_is_wrong_is_named_as_an_option() {
        let option = explained(AppError::invalid("?sell_by", "range", "must be in the future"));
        assert_eq!(option.to_string(), "--sell-by must be in the future");
        let variable = explained(AppError::invalid("VARIABLE", "format", "VARIABLE must be 1"));
        assert_eq!(variable.to_string(), "VARIABLE must be 1");
    }

    #[test]
    fn a_reader_that_went_away_is_told_apart() {
        let gone = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_broken_pipe(&gone) && !is_broken_pipe(&anyhow::anyhow!("else")));
    }
}
