//! A batch, column by column: what goes into the arrays of the statement.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use simdepot_domain::event::Event;
use simdepot_domain::stock::StockStatus;

use crate::error::Result;
use crate::events;
use crate::intake::NewOrder;
use crate::sql_types::Uid;

#[derive(Default)]
pub(super) struct Orders<'a> {
    pub(super) id: Vec<Uid>,
    pub(super) channel: Vec<&'a str>,
    pub(super) reference: Vec<&'a str>,
    pub(super) request_hash: Vec<&'a [u8]>,
    pub(super) status: Vec<&'static str>,
    pub(super) reveal: Vec<bool>,
    pub(super) version: Vec<i64>,
}

#[derive(Default)]
pub(super) struct Lines<'a> {
    pub(super) order: Vec<Uid>,
    pub(super) line_no: Vec<i32>,
    pub(super) pool: Vec<i64>,
    pub(super) product: Vec<Option<&'a str>>,
    pub(super) quantity: Vec<i64>,
    pub(super) parameters: Vec<Option<&'a Json>>,
}

#[derive(Default)]
pub(super) struct Places {
    pub(super) profile: Vec<i64>,
    pub(super) order: Vec<Uid>,
    pub(super) line_no: Vec<i32>,
    pub(super) position: Vec<i32>,
    pub(super) outcome: Vec<&'static str>,
    pub(super) from: Vec<&'static str>,
    pub(super) revealed: Vec<bool>,
}

#[derive(Default)]
pub(super) struct Keys<'a> {
    pub(super) order: Vec<Uid>,
    pub(super) channel: Vec<&'a str>,
    pub(super) key: Vec<&'a str>,
    pub(super) request: Vec<&'a str>,
    pub(super) body_hash: Vec<&'a [u8]>,
    pub(super) status: Vec<i32>,
    pub(super) resource: Vec<&'a str>,
}

#[derive(Default)]
pub(super) struct Events {
    pub(super) order: Vec<Uid>,
    pub(super) id: Vec<Uid>,
    pub(super) at: Vec<DateTime<Utc>>,
    pub(super) subject_kind: Vec<String>,
    pub(super) subject_id: Vec<String>,
    pub(super) version: Vec<i64>,
    pub(super) type_name: Vec<String>,
    pub(super) data: Vec<Json>,
}

/// All columns of a batch.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) orders: Orders<'a>,
    pub(super) lines: Lines<'a>,
    pub(super) places: Places,
    pub(super) keys: Keys<'a>,
    pub(super) events: Events,
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &[&'a NewOrder]) -> Result<Self> {
        let mut columns = Self::default();
        for new in batch {
            columns.add(new);
            for fact in &new.events {
                columns.events.add(Uid(new.order.id.0), fact)?;
            }
        }
        Ok(columns)
    }

    fn add(&mut self, new: &'a NewOrder) {
        let id = Uid(new.order.id.0);
        self.orders.add(id, new);
        for line in &new.lines {
            self.lines.order.push(id);
            self.lines.line_no.push(line.line_no);
            self.lines.pool.push(line.pool_id);
            self.lines.product.push(line.product.as_deref());
            self.lines.quantity.push(line.quantity);
            self.lines.parameters.push(line.carrier_parameters.as_ref());
        }
        for place in &new.places {
            let from: StockStatus = place.profile.stock_status();
            self.places.profile.push(place.profile.id);
            self.places.order.push(id);
            self.places.line_no.push(place.line_no);
            self.places.position.push(place.position);
            self.places.outcome.push(place.outcome.into());
            self.places.from.push(from.into());
            self.places.revealed.push(new.revealed);
        }
        if let Some(key) = &new.key {
            self.keys.order.push(id);
            self.keys.channel.push(key.channel.as_str());
            self.keys.key.push(&key.key);
            self.keys.request.push(&key.request);
            self.keys.body_hash.push(&key.body_hash);
            self.keys.status.push(i32::from(key.status));
            self.keys.resource.push(&key.resource_id);
        }
    }
}

impl<'a> Orders<'a> {
    fn add(&mut self, id: Uid, new: &'a NewOrder) {
        let order = &new.order;
        self.id.push(id);
        self.channel.push(order.channel.as_str());
        self.reference.push(&order.reference);
        self.request_hash.push(&order.request_hash);
        self.status.push(order.status.into());
        self.reveal.push(order.reveal);
        self.version.push(order.version);
    }
}

impl Events {
    fn add(&mut self, order: Uid, fact: &Event) -> Result<()> {
        let row = events::row(fact)?;
        self.order.push(order);
        self.id.push(row.id);
        self.at.push(row.at.0);
        self.subject_kind.push(row.subject_kind);
        self.subject_id.push(row.subject_id);
        self.version.push(row.version);
        self.type_name.push(row.type_name);
        self.data.push(row.data.0);
        Ok(())
    }
}
