//! What is compared.

use serde::Serialize;
use strum::{Display, EnumString, VariantArray};

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

    /// With how many clients it is measured, out of those asked for.
    pub fn clients(self, asked: &[u32]) -> Vec<u32> {
        let most = match self {
            Self::Simdepot => u32::MAX,
            // Beyond that its rate falls; its best is what counts.
            Self::PgbenchOne | Self::PgbenchStatements | Self::Radius => 64,
            Self::Echo
            | Self::FastifyOne
            | Self::FastifyStatements
            | Self::FastapiOne
            | Self::FastapiStatements => {
                let of_peers = |clients: &u32| [1, 8, 64, 256].contains(clients);
                return asked.iter().copied().filter(of_peers).collect();
            }
        };
        let skipped = |clients: u32| most == 64 && [2, 4].contains(&clients);
        asked.iter().copied().filter(|clients| *clients <= most && !skipped(*clients)).collect()
    }

    /// Whether it writes the rows of an order.
    pub fn writes_orders(self) -> bool {
        !matches!(self, Self::Echo | Self::Radius)
    }
}
