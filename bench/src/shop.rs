//! A shop system (Vendure) driven through its public API: how many of its last units it sells to customers who come at once,
//! and how many simdepot does.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::cluster::{Cluster, Storage};
use crate::depot::Depot;
use crate::goals::Ratio;
use crate::options::Options;
use crate::sample::Figure;
use crate::scenarios::{Row, Told};
use crate::setting::Setting;
use crate::stock;
use crate::tools::{count, float, free_port, run as finish, say};

const CUSTOMERS: usize = 40;
const UNITS: u64 = 10;

/// Sells the last units, by both.
///
/// # Errors
/// When the shop cannot be installed or started.
pub fn run(options: &Options, setting: &mut Setting) -> Result<Vec<Told>> {
    let folder = setting.installed.vendure()?;
    let cluster = Cluster::start(Storage::Disk)?;
    let (mut in_turn, mut at_once, mut allocated, mut own) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for repetition in 1..=options.reps {
        let database = format!("shop_{repetition}");
        cluster.sql("postgres", &format!("CREATE DATABASE {database}"))?;
        let shop = Shop::start(&folder, &cluster, &database)?;
        let told = shop.sell()?;
        drop(shop);
        let number =
            |name: &str| told.get(name).and_then(Value::as_u64).context("the shop's driver told no number");
        in_turn.push(float(number("inTurn")?));
        at_once.push(float(number("paid")?));
        allocated.push(float(number("stockAllocated")?));
        own.push(float(sold(setting, &cluster, &format!("own_{repetition}"))?));
        say(&format!("shop, repetition {repetition}: {told}"));
    }
    let at_once = Row::new("Vendure: sold to customers who come at once", at_once, "units");
    let own = Row::new("simdepot: sold to customers who come at once", own, "units");
    let stock = Figure::once(float(UNITS));
    let ratios = vec![
        Ratio::of("Vendure: sold ÷ in stock", at_once.figure, stock, Storage::Disk),
        Ratio::of("simdepot: sold ÷ in stock", own.figure, stock, Storage::Disk),
    ];
    let rows = vec![
        Row::new("Vendure: sold to customers who come in turn", in_turn, "units"),
        at_once,
        Row::new("Vendure: allocated afterwards, by its own books", allocated, "units"),
        own,
    ];
    Ok(vec![Told {
        name: "shop",
        title: format!("The last {UNITS} units, {CUSTOMERS} customers: Vendure 3.7.3 through its Shop API"),
        rows,
        ratios,
        notes: vec![
            "Vendure counts quantities, it does not hand unique items out: more sold than there is means orders that cannot be \
             delivered, as a profile sold twice would. Its customers fill their carts in turn, go to the till at once, and pay \
             at once; its settings are those of its documentation."
                .to_owned(),
        ],
    }])
}

/// How many of the last profiles simdepot sells to as many customers at once.
fn sold(setting: &Setting, cluster: &Cluster, database: &str) -> Result<u64> {
    stock::fill(cluster, &setting.binary, database, UNITS)?;
    let mut depot = Depot::start(&setting.binary, &cluster.url(database))?;
    let order = |customer: usize| {
        let line = serde_json::json!({ "pool": stock::POOL, "quantity": 1 });
        serde_json::json!({ "reference": format!("customer-{customer}"), "lines": [line] })
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let depot = &depot;
        let ask = |customer| {
            scope.spawn(move || {
                depot.call("POST", "/v1/orders", Some(&order(customer))).map_or(0, |answer| answer.0)
            })
        };
        let asked: Vec<_> = (0..CUSTOMERS).map(ask).collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    depot.verify()?;
    depot.stop();
    let of = |status: u16| count(statuses.iter().filter(|found| **found == status).count());
    if of(201) + of(409) != count(CUSTOMERS) {
        bail!("simdepot answered {statuses:?}");
    }
    if of(201) != UNITS {
        bail!("simdepot sold {} of {UNITS}", of(201));
    }
    Ok(of(201))
}

/// A running shop; ends with the value.
struct Shop<'a> {
    folder: &'a Path,
    child: Child,
    port: u16,
}

const KEY: &str = "shop-0123456789";

impl<'a> Shop<'a> {
    fn start(folder: &'a Path, cluster: &Cluster, database: &str) -> Result<Self> {
        let port = free_port()?;
        let log = std::fs::File::create(folder.join("shop.log"))?;
        let mut node = Command::new("node");
        node.arg("server.js").current_dir(folder).env("PORT", port.to_string()).env("KEY", KEY);
        node.env("PGHOST", cluster.socket()).env("PGDATABASE", database);
        let child = node.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let shop = Self { folder, child, port };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        for _ in 0..3 {
            // It makes its tables first.
            if crate::curl::wait_until_ready(address, "/health").is_ok() {
                return Ok(shop);
            }
        }
        bail!(
            "the shop does not start: {}",
            std::fs::read_to_string(folder.join("shop.log")).unwrap_or_default()
        )
    }

    fn sell(&self) -> Result<Value> {
        let mut drive = Command::new("node");
        drive.args(["drive.js", &CUSTOMERS.to_string(), &UNITS.to_string()]).current_dir(self.folder);
        let told = finish(drive.env("PORT", self.port.to_string()).env("KEY", KEY))?;
        serde_json::from_str(told.trim()).with_context(|| told)
    }
}

impl Drop for Shop<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        std::thread::sleep(Duration::from_millis(100));
        let _ = self.child.wait();
    }
}
