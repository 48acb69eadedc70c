//! The feed of events.

use actix_web::{HttpRequest, HttpResponse, get, web};
use simdepot_application::feed::{self, Place};
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
///
/// A database that is restored from a backup gives the numbers behind it again. Send the last event's `hash` too, as
/// `Link` does: you are then told with 422 whenever you and the feed no longer share what you have read, and go back to
/// the last event that you share. Without it you are told only while `after` is beyond the end.
#[utoipa::path(
    tag = "Events",
    security(("bearer" = ["events"])),
    params(EventsQuery, PollHeader),
    responses((status = 200, description = "The next events; `next_cursor` is the last `seq` of a full page.",
        body = Page<Event>, headers(("Link" = String, description = "What comes after a full page, `rel=\"next\"`."))))
)]
#[get("/v1/events")]
async fn list_events(
    state: web::Data<AppState>,
    _: Authenticated,
    PreferWait(wait): PreferWait<0>,
    ValidQuery(query): ValidQuery<EventsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let limit = i64::from(query.limit.get());
    let place = Place { seq: query.after, hash: query.hash.map(|hash| hash.0) };
    let entries = feed::read(&state.depot, place, limit, wait).await?;
    let is_full = i64::try_from(entries.len()).is_ok_and(|count| count == limit);
    let events: Vec<Event> = entries.into_iter().map(Event::from).collect();
    let next = events.last().filter(|_| is_full).map(|last| (last.seq.to_string(), last.hash.clone()));
    let Some((seq, hash)) = next else {
        return Ok(page_response_at(&request, &[], events, None));
    };
    Ok(page_response_at(&request, &[("after", &seq), ("hash", &hash)], events, Some(seq.clone())))
}
