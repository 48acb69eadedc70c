//! The binary under test, and running it away from the developer's own environment.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a process may take to say or do something.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, built like the tests themselves.
///
/// Cargo builds a package's binaries for the tests of that package alone, so it is asked once more; when the workspace
/// is built already, that takes a moment.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("the test's own path");
        // <target>/<profile folder>/deps/cli-…
        let built = test.ancestors().nth(2).expect("the profile's folder");
        let profile = match built.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--bin", "simdepot", "--profile", profile])
            .arg("--target-dir")
            .arg(built.parent().expect("the target folder"))
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the binary does not build");
        built.join("simdepot")
    })
}

/// A folder of its own and the variables that simdepot is run with there, and no others. It listens on a free port.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("simdepot-cli.").tempdir().expect("a temporary folder");
        let listen = ("SIMDEPOT_LISTEN".to_owned(), "127.0.0.1:0".to_owned());
        Self { folder, variables: vec![listen] }
    }

    /// With a variable; a later one of the same name counts.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file into the folder.
    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).expect("the file is written");
    }

    /// Names of the files in the folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder is read");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().expect("simdepot runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts the server on a free port and waits until it listens.
    pub(crate) fn serve(&self) -> Served {
        let (mut served, log) = self.start(&["serve"]);
        served.base_url = wait_for_url(&log, &served.err);
        served
    }

    /// Starts the carrier twin on a free port and waits until it says where it is.
    pub(crate) fn twin(&self, arguments: &[&str]) -> Served {
        let mut whole = vec!["twin", "--listen", "127.0.0.1:0"];
        whole.extend(arguments);
        let (mut served, _log) = self.start(&whole);
        let printed = served.printed("/_twin/delivery.csv");
        let url = printed.split_whitespace().find(|word| word.starts_with("http://"));
        url.expect("a URL").clone_into(&mut served.base_url);
        served
    }

    /// Starts a command that runs until it is stopped; also returns the lines of its log.
    fn start(&self, arguments: &[&str]) -> (Served, Receiver<String>) {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("simdepot runs");
        let out = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take().expect("its output"), Arc::clone(&out), None);
        let (sender, listening) = mpsc::channel();
        let err = Arc::new(Mutex::new(String::new()));
        keep(child.stderr.take().expect("its log"), Arc::clone(&err), Some(sender));
        (Served { child, out, err, base_url: String::new() }, listening)
    }
}

/// Keeps what a process writes, line by line.
fn keep(source: impl Read + Send + 'static, text: Arc<Mutex<String>>, lines: Option<mpsc::Sender<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            let mut text = text.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
            if let Some(lines) = &lines {
                // Nobody listens any more once the address is known.
                let _ = lines.send(line);
            }
        }
    });
}

fn wait_for_url(lines: &Receiver<String>, log: &Mutex<String>) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else {
            panic!("simdepot does not listen: {}", log.lock().unwrap());
        };
        if line.contains("listening")
            && let Some((_, rest)) = line.split_once("url=\"")
        {
            return rest.split('"').next().expect("a URL").to_owned();
        }
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Demands success; returns what it printed.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Demands exit code 1; returns what it said on standard error.
    #[track_caller]
    pub(crate) fn bad(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        self.err
    }
}

/// A running server. Dropping it kills it.
pub(crate) struct Served {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    pub(crate) base_url: String,
}

impl Served {
    /// What it has printed, once that contains `text`.
    pub(crate) fn printed(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let out = self.out.lock().unwrap().clone();
            if out.contains(text) {
                return out;
            }
            assert!(Instant::now() < deadline, "{text} is not printed: {out}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    /// Tells it to stop, as a supervisor does, and waits for its end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        self.child.wait().expect("it ends")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a shell line with curl in it; returns the status and the body. The line may hold variables of `variables`.
pub(crate) fn curl(line: &str, variables: &[(&str, &str)]) -> (u16, String) {
    // No setting of the developer's own (`-q` must come first), and the status behind the body.
    let line = line.trim().replacen("curl ", "curl -q --noproxy '*' -w '\\n%{http_code}' ", 1);
    let output =
        Command::new("sh").args(["-c", &line]).envs(variables.iter().copied()).output().expect("a shell");
    let text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{text}\n{errors}");
    let (body, status) = text.rsplit_once('\n').expect("a status behind the body");
    (status.parse().expect("a status"), body.to_owned())
}
