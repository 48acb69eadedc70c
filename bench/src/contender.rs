//! What is compared.

use serde::Serialize;
use strum::{Display, EnumString, VariantArray};

use crate::cluster::Storage;

/// One of those that are measured.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Display, EnumString, VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Contender {
    /// simdepot over HTTP.
    Simdepot,
    /// The same rows by pgbench, one statement per order.
    PgbenchOne,
    /// The same rows by pgbench, in separate statements.
    PgbenchStatements,
    /// actix-web alone: JSON in, JSON out.
    Echo,
    /// Fastify and node-postgres, statements in a transaction.
    FastifyStatements,
    /// Fastify and node-postgres, one statement.
    FastifyOne,
    /// FastAPI and SQLAlchemy, statements in a transaction.
    FastapiStatements,
    /// FastAPI and asyncpg, one statement.
    FastapiOne,
    /// FreeRADIUS' stored procedure for addresses out of a pool, by pgbench.
    Radius,
}

impl Contender {
    /// How tables name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Simdepot => "simdepot (HTTP)",
            Self::PgbenchOne => "pgbench, one statement",
            Self::PgbenchStatements => "pgbench, eleven statements",
            Self::Echo => "actix echo (no database)",
            Self::FastifyStatements => "Fastify + pg, statements",
            Self::FastifyOne => "Fastify + pg, one statement",
            Self::FastapiStatements => "FastAPI + SQLAlchemy",
            Self::FastapiOne => "FastAPI + asyncpg, one statement",
            Self::Radius => "FreeRADIUS sqlippool procedure",
        }
    }

    /// With how many clients it is measured: those asked for, or else those that show something.
    pub fn clients(self, asked: &[u32], storage: Storage) -> Vec<u32> {
        if asked.is_empty() {
            return self.usual(storage).to_vec();
        }
        // Each client of pgbench is a connection of the database: beyond that its rate falls, and its best is what counts.
        let most = match self {
            Self::PgbenchOne | Self::PgbenchStatements | Self::Radius => 64,
            _ => u32::MAX,
        };
        asked.iter().copied().filter(|clients| *clients <= most).collect()
    }

    fn usual(self, storage: Storage) -> &'static [u32] {
        match storage {
            Storage::Simulated => match self {
                Self::Simdepot => &[1, 4, 8, 16, 64, 128, 256],
                Self::PgbenchOne => &[1, 8, 16, 32, 64],
                Self::PgbenchStatements => &[8, 16],
                Self::FastifyStatements | Self::FastapiStatements => &[8, 64],
                Self::Radius => &[16, 64],
                Self::FastifyOne | Self::FastapiOne | Self::Echo => &[64],
            },
            Storage::Disk => match self {
                Self::Simdepot => &[1, 8, 64, 256],
                Self::PgbenchOne => &[1, 8, 16, 64],
                Self::FastifyStatements | Self::FastapiStatements => &[64],
                _ => &[],
            },
        }
    }

    /// Whether orders that come at once may share a transaction.
    pub fn shares_transactions(self) -> bool {
        self == Self::Simdepot
    }

    /// Whether it writes the rows of an order.
    pub fn writes_orders(self) -> bool {
        !matches!(self, Self::Echo | Self::Radius)
    }
}
