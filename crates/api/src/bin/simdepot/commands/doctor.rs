//! `simdepot doctor`.

use std::sync::Arc;

use simdepot_api::accounts;
use simdepot_carrier_http::LocalTurns;
use simdepot_domain::carrier::{Probe, ProbeResult, Turns};
use simdepot_domain::channel::AccountName;

use crate::output::{self, Outcome};
use crate::setup;

pub(super) async fn run() -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    setup::require_no_key_of_worth(&config)?;
    if config.is_sandbox() {
        output::line("no carrier account is configured: simdepot would run as a sandbox")?;
        return Ok(Outcome::Good);
    }
    // The few requests need no turns of the database, which may be what is being looked into.
    let turns: Arc<dyn Turns> = Arc::new(LocalTurns::default());
    let accounts = accounts::connect(&config.carriers, &setup::clock(), &turns)?;
    let mut good = true;
    for (name, account) in &accounts {
        let probes = account.carrier.probe().await;
        good &= probes.iter().all(|probe| probe.result != ProbeResult::Failed);
        output::line(&table(name, &probes))?;
    }
    Ok(good.into())
}

/// One row per check, columns aligned.
fn table(account: &AccountName, probes: &[Probe]) -> String {
    let width = probes.iter().map(|probe| probe.what.chars().count()).max().unwrap_or_default();
    let rows = probes.iter().map(|probe| {
        let result = probe.result.to_string();
        format!("  {:<width$}  {result:<8}  {}\n", probe.what, probe.detail)
    });
    format!("{account}\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let probe =
            |what: &str, result, detail: &str| Probe { what: what.into(), result, detail: detail.into() };
        let probes = [
            probe("token", ProbeResult::Ok, "as expected"),
            probe("place orders", ProbeResult::Failed, "ask for the right"),
        ];
        let text = table(&AccountName::parse("spc").unwrap(), &probes);
        assert_eq!(
            text,
            "spc\n  token         ok        as expected\n  place orders  failed    ask for the right\n"
        );
    }
}
