//! Small helpers: running programs, numbers, and telling people how far it is.

use std::fmt;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// What a machine lacks. What needs it is left out; any other error ends the run.
#[derive(Debug)]
pub struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// An error that says what the machine lacks.
pub fn missing(what: impl Into<String>) -> anyhow::Error {
    Missing(what.into()).into()
}

/// Takes a failed installation for something that the machine lacks.
///
/// # Errors
/// When it failed.
pub fn installed<T>(done: Result<T>) -> Result<T> {
    done.map_err(|error| missing(format!("{error:#}")))
}

/// Tells the person who runs it.
pub fn say(text: &str) {
    // Nobody is left to be told when the terminal is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Runs a program to its end and returns what it wrote; an error carries the end of that.
///
/// # Errors
/// When it cannot be started, or ends with another exit code than 0.
pub fn run(command: &mut Command) -> Result<String> {
    let (out, err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    // A server that it leaves behind inherits these, so they must not be pipes that somebody waits for.
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let status = command.status().with_context(|| format!("{}", command.get_program().display()))?;
    let told = text_of(out)?;
    if !status.success() {
        let complaint = text_of(err)? + &told;
        let from = complaint.len().saturating_sub(1_500);
        let end = complaint.get(from..).unwrap_or(&complaint);
        bail!("{} ended with {status}: {end}", command.get_program().display());
    }
    Ok(told)
}

fn text_of(mut file: std::fs::File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A count as a floating-point number: exact below four thousand million, which nothing here exceeds.
pub fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// A length as a count.
pub fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Whole microseconds.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The middle of some numbers, and the least and the most; zeros when there is none.
pub fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    let last = values.len().saturating_sub(1);
    let middle = (at(last / 2) + at(values.len() / 2)) / 2.0;
    (middle, at(0), at(last))
}

/// A port that is free now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The program's place in PATH.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The folder of this package's sources: the scripts of the peers lie there.
pub fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether this process is root.
pub fn is_root() -> bool {
    // Without procfs it is taken for an ordinary user.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// Puts things into an order that does not favour any of them; the same number gives the same order.
pub fn shuffle<T>(things: &mut [T], seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for last in (1..things.len()).rev() {
        // xorshift64: an even spread is all that is asked.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (count(last) + 1)).unwrap_or_default();
        things.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), (2.5, 1.0, 4.0));
        assert_eq!(median(vec![5.0, 1.0, 3.0]), (3.0, 1.0, 5.0));
        assert_eq!(median(Vec::new()), (0.0, 0.0, 0.0));
    }

    #[test]
    fn shuffling_loses_nothing() {
        let mut things: Vec<u32> = (0..50).collect();
        shuffle(&mut things, 3);
        assert_ne!(things, (0..50).collect::<Vec<_>>());
        things.sort_unstable();
        assert_eq!(things, (0..50).collect::<Vec<_>>());
    }
}
