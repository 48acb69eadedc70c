//! The spooled file, read in chunks, with how far it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use simdepot_domain::delivery::{Format, HeaderError, RawRows, Reader, RowReader};

/// Counts the bytes that were read.
#[derive(Debug)]
pub(super) struct Counting {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.read.fetch_add(u64::try_from(bytes).unwrap_or_default(), Ordering::Relaxed);
        Ok(bytes)
    }
}

/// A delivery file being read.
pub(super) struct Source {
    reader: Reader<Counting>,
    read: Arc<AtomicU64>,
    /// Its size in bytes.
    pub(super) total: u64,
}

impl Source {
    /// Opens a spooled file and reads its header.
    ///
    /// # Errors
    /// [`HeaderError`] says what is wrong with the header, or that the file cannot be read.
    pub(super) fn open(path: &Path, format: Format) -> Result<Self, HeaderError> {
        let file = File::open(path).map_err(HeaderError::Read)?;
        let total = file.metadata().map_err(HeaderError::Read)?.len();
        let read = Arc::new(AtomicU64::new(0));
        let reader = Reader::new(Counting { file, read: Arc::clone(&read) }, format)?;
        Ok(Self { reader, read, total })
    }

    /// How many bytes were read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// What reads its lines as rows.
    pub(super) fn row_reader(&self) -> RowReader {
        self.reader.row_reader()
    }

    /// The next lines, at most `limit`, and no more once they have `bytes` bytes; empty at the end.
    pub(super) fn chunk(&mut self, limit: usize, bytes: usize) -> RawRows {
        self.reader.raw_rows(limit, bytes)
    }
}
