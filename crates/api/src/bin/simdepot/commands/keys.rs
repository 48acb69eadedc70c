//! `simdepot keys create`.

use secrecy::ExposeSecret;
use simdepot_application::api_keys::{self, NewApiKey};

use crate::cli::CreateKeyArgs;
use crate::output::{self, Outcome};
use crate::setup;

pub(super) async fn create(args: CreateKeyArgs) -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    let depot = setup::depot(&config).await?;
    let new = NewApiKey {
        name: args.name,
        channel: args.channel,
        scopes: args.scopes,
        expires_at: args.expires_at,
        test: config.is_sandbox(),
    };
    let created = api_keys::create(&depot, &api_keys::command_line()?, new, None).await;
    let (created, _) = created.map_err(output::explained)?;
    tracing::info!(key = %created.key.id, channel = %created.key.channel, "made an API key");
    if let Some(secret) = created.secret {
        output::line(secret.expose_secret())?;
    }
    Ok(Outcome::Good)
}
