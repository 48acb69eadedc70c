//! Receiving a file: streamed to a spool file with its SHA-256 on the way, so that a file of any size takes no memory.
//! The spool file is gone when its [`Upload`] is dropped, however the request ends.

use std::fmt;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::mime::Mime;
use actix_web::{HttpMessage, HttpRequest};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use simdepot_application::idempotency::IdempotencyKey;
use simdepot_application::imports::{StartImport, StartedAs};
use simdepot_application::{AppError, Caller, imports};
use simdepot_domain::id::ImportId;
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use crate::extract::body;
use crate::problem::{ApiResult, Problem, ProblemCode};
use crate::state::{ApiSettings, AppState};

/// How the names of spool files begin.
const PREFIX: &str = "simdepot-import-";
/// Longest file name that is kept, in characters.
const MAX_NAME: usize = 255;

/// A received file.
pub(super) struct Upload {
    path: TempPath,
    /// SHA-256 of its content.
    pub(super) digest: Vec<u8>,
    /// Its name at the client's, when it came with one.
    pub(super) name: Option<String>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Upload {
    /// SHA-256 of its content, in hex.
    pub(super) fn sha256(&self) -> String {
        hex::encode(&self.digest)
    }
}

/// Receives the file of a request: the body itself, or the only part of a form.
pub(super) async fn receive(
    request: &HttpRequest,
    payload: Payload,
    settings: &ApiSettings,
) -> ApiResult<Upload> {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported("send the file without Content-Encoding"));
    }
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced
        .and_then(|length| length.parse::<u64>().ok())
        .is_some_and(|length| length > settings.max_upload_bytes)
    {
        return Err(too_large(settings.max_upload_bytes));
    }
    let mime = request.mime_type().ok().flatten();
    match mime.as_ref().map(Mime::essence_str) {
        Some("text/csv") => plain(payload, settings).await,
        Some("multipart/form-data") => form(Multipart::new(request.headers(), payload), settings).await,
        Some(_) | None => {
            Err(unsupported("send the file as Content-Type: text/csv or as multipart/form-data"))
        }
    }
}

async fn plain(mut payload: Payload, settings: &ApiSettings) -> ApiResult<Upload> {
    let mut spool = Spool::open(settings).await?;
    while let Some(chunk) = in_time(payload.next()).await? {
        spool.write(&chunk.map_err(|error| broken(&error, settings.max_upload_bytes))?).await?;
    }
    spool.finish(None).await
}

/// The next piece of a file. A file may take long; it may not stand still.
async fn in_time<T>(next: impl Future<Output = T>) -> ApiResult<T> {
    tokio::time::timeout(body::STANDSTILL, next).await.map_err(|_| body::too_slow(body::STANDSTILL))
}

async fn form(mut parts: Multipart, settings: &ApiSettings) -> ApiResult<Upload> {
    let only = || Problem::invalid_field("/file", "count", "the form must have exactly one part, the file");
    let part = in_time(parts.next()).await?.ok_or_else(only)?.map_err(|error| malformed(&error))?;
    let upload = part_of_form(part, settings).await?;
    match in_time(parts.next()).await? {
        None => Ok(upload),
        Some(Ok(_)) => Err(only()),
        Some(Err(error)) => Err(malformed(&error)),
    }
}

async fn part_of_form(mut part: Field, settings: &ApiSettings) -> ApiResult<Upload> {
    let name = part.content_disposition().and_then(|disposition| disposition.get_filename()).and_then(tidy);
    let mut spool = Spool::open(settings).await?;
    while let Some(chunk) = in_time(part.next()).await? {
        spool.write(&chunk.map_err(|error| malformed(&error))?).await?;
    }
    spool.finish(name).await
}

/// A name as it can be stored and shown; none when nothing is left of it.
fn tidy(name: &str) -> Option<String> {
    let tidy: String = name.chars().filter(|letter| !letter.is_control()).take(MAX_NAME).collect();
    (!tidy.trim().is_empty()).then_some(tidy)
}

/// Begins the import of a received file and carries it out in the background. A client that goes away between the two
/// must not leave an import behind that nobody carries out, so that both are one piece of background work.
pub(super) async fn import(
    state: &AppState,
    caller: Caller,
    asked: StartImport,
    key: Option<IdempotencyKey>,
    file: Upload,
) -> Result<(ImportId, StartedAs), AppError> {
    let depot = state.depot.clone();
    let (begun, told) = oneshot::channel();
    state.background.spawn(async move {
        let started = imports::start(&depot, &caller, asked, &file.sha256(), key.as_ref()).await;
        let started = started.map(|(view, started_as)| (view.import.id, started_as));
        let to_run = match &started {
            Ok((id, StartedAs::Created)) => Some(*id),
            Ok(_) | Err(_) => None,
        };
        // The client may have gone away; the import goes on.
        let _ = begun.send(started);
        if let Some(id) = to_run
            && let Err(error) = imports::run(&depot, id, &file.path, &|_| {}).await
        {
            tracing::error!(import = %id, %error, "an import could not be carried out");
        }
    });
    told.await.unwrap_or_else(|_| Err(AppError::Internal("an import ended before it began".to_owned())))
}

/// How old a spool file of a process that died may get.
const LEFT_BEHIND: Duration = Duration::from_secs(6 * 3600);

/// Removes the spool files of processes that died: they hold codes in clear. Those of others that live are younger.
pub(crate) fn sweep(dir: &Path) {
    let Ok(files) = std::fs::read_dir(dir) else {
        return;
    };
    for file in files.flatten() {
        let ours = file.file_name().to_string_lossy().starts_with(PREFIX);
        let age = file.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if ours && age.is_some_and(|age| age > LEFT_BEHIND) {
            let removed = std::fs::remove_file(file.path());
            tracing::warn!(path = %file.path().display(), removed = removed.is_ok(), "found a spool file left behind");
        }
    }
}

/// A file being written.
struct Spool {
    file: File,
    path: TempPath,
    hash: Sha256,
    limit: u64,
    left: u64,
}

impl Spool {
    async fn open(settings: &ApiSettings) -> ApiResult<Self> {
        let dir = settings.spool_dir.clone();
        let made = tokio::task::spawn_blocking(move || create(&dir)).await;
        let (file, path) = made.map_err(|error| unwritable(&error))?.map_err(|error| unwritable(&error))?;
        let limit = settings.max_upload_bytes;
        Ok(Self { file: File::from_std(file), path, hash: Sha256::new(), limit, left: limit })
    }

    async fn write(&mut self, chunk: &[u8]) -> ApiResult<()> {
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(length).ok_or_else(|| too_large(self.limit))?;
        self.hash.update(chunk);
        self.file.write_all(chunk).await.map_err(|error| unwritable(&error))
    }

    async fn finish(mut self, name: Option<String>) -> ApiResult<Upload> {
        self.file.flush().await.map_err(|error| unwritable(&error))?;
        Ok(Upload { path: self.path, digest: self.hash.finalize().to_vec(), name })
    }
}

/// A file that only this user may read: it holds codes.
fn create(dir: &Path) -> io::Result<(std::fs::File, TempPath)> {
    std::fs::create_dir_all(dir)?;
    Ok(tempfile::Builder::new().prefix(PREFIX).suffix(".csv").tempfile_in(dir)?.into_parts())
}

fn unwritable(error: &dyn Display) -> Problem {
    AppError::Internal(format!("an uploaded file cannot be kept in the spool directory: {error}")).into()
}

fn unsupported(detail: &str) -> Problem {
    Problem::new(ProblemCode::UnsupportedMediaType, detail)
}

fn too_large(limit: u64) -> Problem {
    Problem::new(ProblemCode::PayloadTooLarge, format!("a file may have at most {limit} bytes"))
}

fn broken(error: &PayloadError, limit: u64) -> Problem {
    match error {
        PayloadError::Overflow => too_large(limit),
        _ => Problem::new(ProblemCode::MalformedBody, "the body ended early or could not be read"),
    }
}

fn malformed(error: &MultipartError) -> Problem {
    Problem::new(ProblemCode::MalformedBody, format!("the form cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const FORM: &str = "multipart/form-data; boundary=xx";

    fn settings(dir: &tempfile::TempDir, max_upload_bytes: u64) -> ApiSettings {
        ApiSettings { spool_dir: dir.path().join("spool"), max_upload_bytes, ..ApiSettings::default() }
    }

    async fn send(content_type: &str, body: &str, settings: &ApiSettings) -> ApiResult<Upload> {
        let request =
            TestRequest::post().insert_header(("Content-Type", content_type)).set_payload(body.to_owned());
        let (request, payload) = request.to_http_parts();
        receive(&request, payload, settings).await
    }

    fn part(name: &str, content: &str) -> String {
        format!(
            "--xx\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"lot 1.csv\"\r\n\r\n{content}\r\n"
        )
    }

    fn files(settings: &ApiSettings) -> usize {
        std::fs::read_dir(&settings.spool_dir).map_or(0, Iterator::count)
    }

    #[actix_web::test]
    async fn a_file_is_the_same_either_way_and_gone_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(&dir, 1000);
        let body = format!("{}--xx--\r\n", part("file", "ICCID\n1\n"));
        let plain = send("text/csv; charset=utf-8", "ICCID\n1\n", &settings).await.unwrap();
        let form = send(FORM, &body, &settings).await.unwrap();
        assert_eq!(plain.sha256(), form.sha256());
        assert_eq!((plain.name.as_deref(), form.name.as_deref()), (None, Some("lot 1.csv")));
        assert_eq!(std::fs::read_to_string(&form.path).unwrap(), "ICCID\n1\n");
        assert_eq!(files(&settings), 2);
        drop((plain, form));
        assert_eq!(files(&settings), 0);
    }

    #[actix_web::test]
    async fn what_is_no_single_file_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(&dir, 1000);
        let two = format!("{}{}--xx--\r\n", part("a", "1"), part("b", "2"));
        for (content_type, body, code) in [
            ("text/plain", "ICCID\n".to_owned(), ProblemCode::UnsupportedMediaType),
            ("application/json", "{}".to_owned(), ProblemCode::UnsupportedMediaType),
            ("text/csv", "1".repeat(1001), ProblemCode::PayloadTooLarge),
            (FORM, two, ProblemCode::ValidationFailed),
            (FORM, "--xx--\r\n".to_owned(), ProblemCode::ValidationFailed),
            (FORM, part("file", "cut off"), ProblemCode::MalformedBody),
            ("multipart/form-data", part("file", "no boundary"), ProblemCode::MalformedBody),
        ] {
            let problem = send(content_type, &body, &settings).await.unwrap_err();
            assert_eq!(problem.code(), code, "{content_type} {problem}");
        }
        assert_eq!(files(&settings), 0);
    }

    #[test]
    fn only_old_spool_files_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH;
        for (name, aged) in
            [("simdepot-import-a.csv", true), ("simdepot-import-b.csv", false), ("other.csv", true)]
        {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            if aged {
                file.set_modified(old).unwrap();
            }
        }
        sweep(dir.path());
        let left = |name: &str| dir.path().join(name).exists();
        assert!(!left("simdepot-import-a.csv") && left("simdepot-import-b.csv") && left("other.csv"));
    }

    #[test]
    fn names_are_made_harmless() {
        assert_eq!(tidy("a\r\nb.csv").as_deref(), Some("ab.csv"));
        assert_eq!(tidy("\0 "), None);
        assert_eq!(tidy(&"é".repeat(300)).unwrap().chars().count(), 255);
    }
}
