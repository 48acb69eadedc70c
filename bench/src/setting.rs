//! What a run has to hand: programs, folders, and what is left out because the machine lacks it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::peers::Installed;
use crate::tools::{self, Missing, say, sources};

/// What a run needs beside its options.
#[derive(Debug)]
pub struct Setting {
    /// simdepot's binary.
    pub binary: PathBuf,
    /// The benchmark's own.
    pub own: PathBuf,
    /// Where peers are installed.
    pub installed: Installed,
    /// Where else things are kept between runs.
    pub cache: PathBuf,
    /// What was left out, and why.
    pub missing: Vec<String>,
}

impl Setting {
    /// What came of something; nothing, and a line that says so, when the machine lacks what it needs.
    ///
    /// # Errors
    /// Any other one: it ends the run.
    pub fn unless_missing<T>(&mut self, what: &str, done: Result<T>) -> Result<Option<T>> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(error) if error.is::<Missing>() => {
                self.skip(&format!("{what}: {error:#}"));
                Ok(None)
            }
            Err(error) => Err(error.context(what.to_owned())),
        }
    }

    /// Leaves something out, and says so.
    fn skip(&mut self, what: &str) {
        let line = format!("skipped: {what}");
        say(&line);
        if !self.missing.contains(&line) {
            self.missing.push(line);
        }
    }
}

/// simdepot's binary: the one that is named, or the one beside this program, built anew.
///
/// # Errors
/// When it is not there, or does not compile.
pub fn find_binary(named: Option<&Path>, own: &Path) -> Result<PathBuf> {
    let binary = named.map_or_else(|| own.with_file_name("simdepot"), Path::to_owned);
    if named.is_none() {
        if cfg!(debug_assertions) {
            say("this is a build without optimisation: its figures mean nothing, run it with --release");
        }
        say("building simdepot");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--locked", "-p", "simdepot-api", "--bins"]).current_dir(sources());
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        tools::run(&mut cargo)?;
    }
    if !binary.is_file() {
        bail!("there is no {}", binary.display());
    }
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    fn setting() -> Setting {
        let folder = PathBuf::from("/nowhere");
        Setting {
            binary: folder.clone(),
            own: folder.clone(),
            installed: Installed::below(&folder),
            cache: folder,
            missing: Vec::new(),
        }
    }

    #[test]
    fn only_what_the_machine_lacks_is_left_out() {
        let mut setting = setting();
        assert_eq!(setting.unless_missing("a thing", Ok(1)).unwrap(), Some(1));
        let lacking = Err::<u32, _>(tools::missing("no such program")).context("starting it");
        assert_eq!(setting.unless_missing("a thing", lacking).unwrap(), None);
        assert_eq!(setting.missing, ["skipped: a thing: starting it: no such program"]);
        let violated = Err::<u32, _>(anyhow!("2 profiles were in two answers"));
        let error = setting.unless_missing("a thing", violated).unwrap_err();
        assert_eq!(format!("{error:#}"), "a thing: 2 profiles were in two answers");
        assert_eq!(setting.missing.len(), 1);
    }
}
