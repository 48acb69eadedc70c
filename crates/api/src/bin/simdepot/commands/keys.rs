//! `simdepot keys …`.

use secrecy::ExposeSecret;
use serde_json::json;
use simdepot_application::api_keys::{self, NewApiKey};
use simdepot_application::key_rotation;

use crate::cli::CreateKeyArgs;
use crate::output::{self, Outcome};
use crate::progress::KeyBar;
use crate::setup;

pub(super) async fn create(args: CreateKeyArgs) -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    setup::require_no_key_of_worth(&config)?;
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

pub(super) async fn rotate_encryption(as_json: bool) -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    // Beside a live server: migrating is the server's business.
    let store = setup::store(&config, false).await?;
    let depot = setup::assemble(store, simdepot_application::Accounts::new());
    let bar = KeyBar::new();
    let rotated = key_rotation::rotate(&depot, &|done, total| bar.show(done, total)).await;
    bar.finish();
    let rotated = rotated?;
    let (again, total) = (rotated.rewrapped, rotated.total);
    output::line(&if as_json {
        json!({"rewrapped": again, "total": total}).to_string()
    } else {
        format!("{again} keys wrapped again; SIMDEPOT_ENCRYPTION_KEY now wraps all {total}")
    })?;
    Ok(Outcome::Good)
}
