//! The feed of events.

use actix_web::{HttpRequest, HttpResponse, get, web};
use simdepot_application::feed;
use simdepot_domain::channel::Scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::dto::event::{Event, EventsQuery};
use crate::dto::headers::PollHeader;
use crate::extract::{Authenticated, PreferWait, ValidQuery};
use crate::pagination::{Page, page_response_at};
use crate::problem::ApiResult;
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list_events);
}

/// Follow the events
///
/// Everything that happened, in one order that never changes: ask for what comes after the last `seq` you have seen.
/// Numbers have no gap, so you can prove that you missed nothing. An event appears within about a second.
#[utoipa::path(
    tag = "Events",
    params(EventsQuery, PollHeader),
    responses((status = 200, description = "The next events; `next_cursor` is the last `seq` of a full page.",
        body = Page<Event>, headers(("Link" = String, description = "What comes after a full page, `rel=\"next\"`."))))
)]
#[get("/v1/events")]
async fn list_events(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PreferWait(wait): PreferWait<0>,
    ValidQuery(query): ValidQuery<EventsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    caller.require(Scope::Events)?;
    let limit = i64::from(query.limit.get());
    let entries = feed::read(&state.depot, query.after, limit, wait).await?;
    let is_full = i64::try_from(entries.len()).is_ok_and(|count| count == limit);
    let next = entries.last().filter(|_| is_full).map(|last| last.seq.to_string());
    let events = entries.into_iter().map(Event::from).collect();
    Ok(page_response_at(&request, "after", events, next))
}
