//! `simdepot migrate`.

use crate::output::{self, Outcome};
use crate::setup;

pub(super) async fn run() -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    setup::store(&config, true).await?;
    output::line(&format!("{:?} has every migration", config.database))?;
    Ok(Outcome::Good)
}
