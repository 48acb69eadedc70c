//! `simdepot qr`.

use simdepot_application::{activation, api_keys};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::qr;

use crate::output::{self, Outcome};
use crate::setup;

pub(super) async fn run(iccid: Iccid) -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    let depot = setup::depot(&config).await?;
    let code = activation::reveal(&depot, &api_keys::command_line()?, iccid).await?;
    output::line(&qr::terminal(&code.lpa())?)?;
    Ok(Outcome::Good)
}
