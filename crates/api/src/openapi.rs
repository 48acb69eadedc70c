//! The OpenAPI document, collected from the very calls that register the routes.
//!
//! What every operation has in common is added here, by the shape of the operation: the request id, and the problems that
//! the middlewares and extractors answer. A handler describes only what is its own.

use std::collections::BTreeSet;

use actix_web::App;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayItems, Components, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, ContentBuilder, PathItem, Ref, RefOr, Required};
use utoipa::{Modify, OpenApi};
use utoipa_actix_web::AppExt;

use crate::problem::{PROBLEM_JSON, Problem};
use crate::routes;

/// A problem that many operations share: name of its response, status, description.
struct Shared(&'static str, &'static str, &'static str);

const MALFORMED: Shared = Shared("MalformedBody", "400", "`malformed-body`: the body cannot be read.");
const UNAUTHENTICATED: Shared =
    Shared("Unauthenticated", "401", "`unauthenticated`: no API key, or one that does not work.");
const FORBIDDEN: Shared = Shared("Forbidden", "403", "`forbidden`: the key lacks a scope.");
const NOT_FOUND: Shared = Shared("NotFound", "404", "`not-found`: there is none, or not for this key.");
const TOO_LARGE: Shared = Shared("PayloadTooLarge", "413", "`payload-too-large`.");
const MEDIA_TYPE: Shared = Shared("UnsupportedMediaType", "415", "`unsupported-media-type`.");
const INVALID: Shared = Shared(
    "Invalid",
    "422",
    "`validation-failed`: `errors` names the fields, query parameters or headers; `idempotency-key-reused`: the key came \
     with another request before.",
);
const RATE_LIMITED: Shared =
    Shared("RateLimited", "429", "`rate-limited`: too many requests with this key. See `Retry-After`.");
const INTERNAL: Shared =
    Shared("Internal", "500", "`internal`: the log has the cause under the `request_id`.");
const UNAVAILABLE: Shared = Shared(
    "Unavailable",
    "503",
    "`busy`: try again after `Retry-After`; `carrier-unavailable`: the carrier cannot be asked.",
);

const ALL: [Shared; 10] = [
    MALFORMED,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    TOO_LARGE,
    MEDIA_TYPE,
    INVALID,
    RATE_LIMITED,
    INTERNAL,
    UNAVAILABLE,
];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "simdepot",
        version = "1",
        description = "Stock of eSIM and SIM profiles: imports a carrier's deliveries, hands each profile out exactly once, \
            puts the ordered product on it through the carrier, and returns its activation code.\n\n\
            Authenticate with `Authorization: Bearer sd_…`. A key has scopes and belongs to a channel; a storefront sees \
            its own channel's orders and profiles, and all else is 404. Times are RFC 3339 in UTC. Errors are problem \
            details (RFC 9457): branch on `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "Products", description = "The carriers' catalogues. Scope `storefront`."),
        (name = "Orders", description = "Profiles with products, taken exactly once. Scope `storefront`; decisions by hand `stock`."),
        (name = "Holds", description = "Profiles reserved for a checkout. Scope `storefront`."),
        (name = "Activation", description = "Activation codes and QR codes of sold profiles. Scope `storefront`."),
        (name = "Bundles", description = "Products on sold profiles, and top-ups. Scope `storefront`."),
        (name = "Profiles", description = "Units of stock. Scope `stock`; a storefront reads its own."),
        (name = "Pools", description = "Interchangeable profiles, and their stock. Scope `stock`; availability `storefront`."),
        (name = "Imports", description = "Delivery files. Scope `stock`."),
        (name = "Lines", description = "Subscriber lines, and what they may be set to. Scope `lines`; PIN and PUK `secrets`."),
        (name = "Devices", description = "Devices: models, the one of a line and its changes, the block list; of carriers that have it. Scope `devices`."),
        (name = "Operations", description = "Writes to carriers and their outcomes. Scope `lines`."),
        (name = "Events", description = "The ledger in one dense order. Scope `events`."),
        (name = "Webhooks", description = "Where events are sent (Standard Webhooks 1.0). Scope `events`."),
        (name = "API keys", description = "Keys of channels. Scope `admin`."),
        (name = "Reconciliations", description = "Our books compared with the carriers'. Scope `admin`."),
        (name = "Carrier events", description = "What carriers tell. Signed by the carrier; no key needed."),
        (name = "Service", description = "About this service. No key needed."),
    ),
    components(schemas(Problem)),
    security(("bearer" = [])),
    modifiers(&Bearer)
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("sd_live_… or sd_test_…")
            .description(Some(
                "An API key. What an operation lists here is a scope that the key must have; of several, one suffices.",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The document of the API as it is served.
pub fn document() -> utoipa::openapi::OpenApi {
    let app = App::new().into_utoipa_app().openapi(Document::openapi()).configure(routes::configure);
    let (_, mut document) = app.split_for_parts();
    let components = document.components.get_or_insert_default();
    share_problems(components);
    tidy_schemas(components);
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            complete(path, operation);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    methods.into_iter().filter_map(Option::as_mut)
}

fn share_problems(components: &mut Components) {
    for Shared(name, status, description) in ALL {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let mut response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content);
        response = match status {
            "401" => response.header("WWW-Authenticate", text_header("`Bearer`.")),
            "429" | "503" => response.header("Retry-After", text_header("Seconds to wait.")),
            _ => response,
        };
        let mut response = response.build();
        add_request_id(&mut response);
        components.responses.insert(name.to_owned(), response.into());
    }
}

/// What utoipa cannot know of the schemas: pages refer to the schema of their rows instead of repeating it, and an answer
/// always has its nullable fields (those that may be absent are never null).
fn tidy_schemas(components: &mut Components) {
    let names: BTreeSet<String> = components.schemas.keys().cloned().collect();
    for (name, schema) in &mut components.schemas {
        let RefOr::T(Schema::Object(schema)) = schema else { continue };
        if let Some(row) = name.strip_prefix("Page_").filter(|row| names.contains(*row))
            && let Some(RefOr::T(Schema::Array(data))) = schema.properties.get_mut("data")
        {
            data.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(row).into()));
        }
        if !name.ends_with("Request") && !name.ends_with("Patch") && name != "Problem" {
            let nullable = schema.properties.iter().filter(|(_, property)| is_nullable(property));
            let mut required: Vec<String> = nullable.map(|(field, _)| field.clone()).collect();
            required.retain(|field| !schema.required.contains(field));
            schema.required.extend(required);
        }
    }
}

fn is_nullable(property: &RefOr<Schema>) -> bool {
    let or_null = |schema_type: &SchemaType| match schema_type {
        SchemaType::Array(types) => types.contains(&Type::Null),
        SchemaType::Type(Type::Null) => true,
        SchemaType::Type(_) | SchemaType::AnyValue => false,
    };
    match property {
        RefOr::T(Schema::Object(object)) => or_null(&object.schema_type),
        RefOr::T(Schema::Array(array)) => or_null(&array.schema_type),
        RefOr::T(Schema::OneOf(one_of)) => one_of.items.iter().any(is_nullable),
        RefOr::T(_) | RefOr::Ref(_) => false,
    }
}

fn text_header(description: &str) -> utoipa::openapi::header::Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(description))
        .build()
}

fn add_request_id(response: &mut Response) {
    response.headers.insert("X-Request-Id".to_owned(), text_header("Names the request in the log.").into());
}

/// Adds what an operation has by its shape.
fn complete(path: &str, operation: &mut Operation) {
    if let Some(tags) = &mut operation.tags {
        tags.dedup();
    }
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.content.values_mut().for_each(absent_rather_than_null);
    }
    let waits = operation.parameters.iter().flatten().any(|parameter| named(parameter, "Prefer"));
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        add_request_id(response);
        if waits && status.starts_with('2') {
            let applied = text_header("The part of `Prefer` that was applied.");
            response.headers.insert("Preference-Applied".to_owned(), applied.into());
        }
    }
    if !path.starts_with("/v1/") {
        return;
    }
    for Shared(name, status, _) in problems_of(operation) {
        let entry = operation.responses.responses.entry(status.to_owned());
        entry.or_insert_with(|| Ref::from_response_name(name).into());
    }
    operation.parameters.get_or_insert_default().push(request_id_parameter().into());
}

/// utoipa describes an optional body as one that may be `null`. It may be absent.
fn absent_rather_than_null(content: &mut RefOr<Content>) {
    let RefOr::T(content) = content else { return };
    if let Some(RefOr::T(Schema::OneOf(either))) = &content.schema
        && let Some(body) = either.items.iter().find(|item| matches!(item, RefOr::Ref(_)))
    {
        content.schema = Some(body.clone());
    }
}

fn named(parameter: &RefOr<Parameter>, name: &str) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.name == name)
}

fn problems_of(operation: &Operation) -> Vec<Shared> {
    let mut problems = vec![UNAUTHENTICATED, FORBIDDEN, RATE_LIMITED, INTERNAL, UNAVAILABLE];
    if operation.request_body.is_some() {
        problems.extend([MALFORMED, TOO_LARGE, MEDIA_TYPE, INVALID]);
    }
    for parameter in operation.parameters.iter().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        match parameter.parameter_in {
            ParameterIn::Path => problems.push(NOT_FOUND),
            ParameterIn::Query => problems.push(INVALID),
            _ => {}
        }
    }
    problems
}

fn request_id_parameter() -> Parameter {
    let schema =
        ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]{1,64}$")).max_length(Some(64));
    ParameterBuilder::new()
        .name("X-Request-Id")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Your own id of the request, kept in the log and sent back. Made when absent."))
        .schema(Some(schema))
        .build()
}

#[cfg(test)]
mod tests;
