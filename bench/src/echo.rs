//! The bare web framework: takes the same request and answers with as much JSON, without any work.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::curl;
use crate::tools::free_port;

#[derive(Debug, Deserialize, Serialize)]
struct Order {
    reference: String,
    lines: Vec<serde_json::Value>,
    reveal: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    id: &'static str,
    order: Order,
    /// Fills the answer up to the size of simdepot's.
    rest: String,
}

async fn echo(order: web::Json<Order>) -> HttpResponse {
    let answer =
        Answer { id: "ord_01m81s207cex5v1bnkz99bxyfn", order: order.into_inner(), rest: "x".repeat(900) };
    HttpResponse::Created().json(answer)
}

/// Serves it until the process is ended.
///
/// # Errors
/// When the port is taken.
pub fn serve(port: u16) -> Result<()> {
    let server = HttpServer::new(|| {
        App::new().route("/readyz", web::get().to(HttpResponse::Ok)).route("/v1/orders", web::post().to(echo))
    });
    Ok(actix_web::rt::System::new().block_on(server.bind(("127.0.0.1", port))?.run())?)
}

/// A process of it; ends with the value.
#[derive(Debug)]
pub struct Echo {
    child: Child,
    /// Its port.
    pub port: u16,
}

impl Echo {
    /// Starts it from the benchmark's own binary.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn start(own: &PathBuf) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(own);
        command.args(["echo", &port.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
        let echo = Self { child: command.spawn()?, port };
        curl::wait_until_ready(([127, 0, 0, 1], port).into(), "/readyz")?;
        Ok(echo)
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
