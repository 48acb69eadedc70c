//! Paths that are settings: `METHOD /path`, perhaps with a place to fill in.

use thiserror::Error;

use crate::request::{Method, segment};

/// A path that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// No such operation.
    #[error("is not known; known are {known}")]
    Unknown {
        /// Those that there are.
        known: String,
    },
    /// Not a method and a path.
    #[error("must be {0}")]
    Wrong(String),
}

/// A method and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    method: Method,
    path: String,
}

impl Template {
    /// What was checked before, such as a default.
    pub fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned() }
    }

    /// Reads `METHOD /path`. `placeholder` is what may stand in the path for the value that goes there, such as
    /// `{simSerial}`. A path leads below the base URL and nowhere else: no query, no dots, no empty segments.
    pub fn parse(text: &str, methods: &[Method], placeholder: &str) -> Option<Self> {
        let (method, path) = text.trim().split_once(' ')?;
        let path = path.trim_start();
        let method = *methods.iter().find(|known| known.as_str() == method)?;
        let plain = if placeholder.is_empty() { path.to_owned() } else { path.replace(placeholder, "x") };
        let good = |segment: &str| {
            !segment.is_empty()
                && !segment.chars().all(|c| c == '.')
                && segment.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c))
        };
        let mut segments = plain.strip_prefix('/')?.split('/');
        segments.all(good).then(|| Self::new(method, path))
    }

    /// How it is sent.
    pub fn method(&self) -> Method {
        self.method
    }

    /// How often `placeholder` stands in it.
    pub fn places(&self, placeholder: &str) -> usize {
        self.path.matches(placeholder).count()
    }

    /// The path with `value` in place of `placeholder`; it cannot lead elsewhere.
    pub fn filled(&self, placeholder: &str, value: &str) -> String {
        self.path.replace(placeholder, &segment(value))
    }

    /// The path as it stands.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// As the setting is written.
    pub fn shown(&self) -> String {
        format!("{} {}", self.method.as_str(), self.path)
    }
}
