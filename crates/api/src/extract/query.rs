//! Query parameters, deserialised and validated. A parameter that is wrong is named as `?name`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::value::{Error as TextError, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use validator::Validate;

use super::violation;
use crate::problem::Problem;

/// A query that is what its type says. Give the type `deny_unknown_fields`: a misspelt filter that is passed over
/// would answer too much.
#[derive(Debug, Clone)]
pub struct ValidQuery<T>(pub T);

impl<T: DeserializeOwned + Validate> FromRequest for ValidQuery<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(req.query_string()).map(Self))
    }
}

fn parse<T: DeserializeOwned + Validate>(query: &str) -> Result<T, Problem> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(query)
        .map_err(|_| Problem::invalid_field("?", "format", "the query cannot be decoded"))?;
    let texts = pairs.into_inner().into_iter().map(|(name, value)| (name, Text(value)));
    let value: T = serde_path_to_error::deserialize(MapDeserializer::new(texts))
        .map_err(|error| Problem::invalid(vec![violation::of_query(&error)]))?;
    value.validate().map_err(|errors| Problem::invalid(violation::of_validation(&errors, "?")))?;
    Ok(value)
}

/// The text of a parameter, read as whatever its field is.
struct Text(String);

impl<'de> IntoDeserializer<'de, TextError> for Text {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
            let number: $type = self.0.parse().map_err(|_| expected("a whole number in range"))?;
            visitor.$visit(number)
        }
    )*};
}

impl<'de> Deserializer<'de> for Text {
    type Error = TextError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_string(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_bool(self.0.parse().map_err(|_| expected("`true` or `false`"))?)
    }

    numbers!(
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    );

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, TextError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextError> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

fn expected(what: &str) -> TextError {
    serde::de::Error::custom(format_args!("must be {what}"))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde::Deserialize;
    use simdepot_domain::channel::PoolName;
    use simdepot_domain::import::OnError;

    use super::*;
    use crate::pagination::Limit;

    #[derive(Debug, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        pool: PoolName,
        #[serde(default)]
        dry_run: bool,
        on_error: Option<OnError>,
        sell_by: Option<DateTime<Utc>>,
        #[serde(default)]
        limit: Limit,
        #[validate(length(max = 3))]
        q: Option<String>,
    }

    #[test]
    fn reads_every_kind_of_field() {
        let query =
            "pool=travel-world&dry_run=true&on_error=skip&sell_by=2026-01-02T03:04:05Z&limit=7&q=a%20b";
        let filter: Filter = parse(query).unwrap();
        assert_eq!((filter.pool.as_str(), filter.dry_run, filter.limit.get()), ("travel-world", true, 7));
        assert_eq!((filter.on_error, filter.q.as_deref()), (Some(OnError::Skip), Some("a b")));
        assert_eq!(filter.sell_by.unwrap().timestamp(), 1_767_323_045);
        let least: Filter = parse("pool=p").unwrap();
        assert_eq!((least.dry_run, least.limit.get(), least.q), (false, 50, None));
    }

    #[test]
    fn names_the_parameter() {
        for (query, pointer, code) in [
            ("", "?pool", "required"),
            ("pool=No", "?pool", "format"),
            ("pool=", "?pool", "format"),
            ("pool=p&dry_run=1", "?dry_run", "format"),
            ("pool=p&on_error=some", "?on_error", "unknown"),
            ("pool=p&sell_by=tomorrow", "?sell_by", "format"),
            ("pool=p&limit=0", "?limit", "format"),
            ("pool=p&limit=201", "?limit", "format"),
            ("pool=p&limit=many", "?limit", "format"),
            ("pool=p&q=long", "?q", "length"),
            ("pool=p&pol=x", "?pol", "unknown-field"),
            ("pool=p&pool=q", "?pool", "duplicate-field"),
        ] {
            let problem = serde_json::to_value(parse::<Filter>(query).unwrap_err().details()).unwrap();
            assert_eq!(problem["code"], "validation-failed", "{query}");
            let field = &problem["errors"][0];
            assert_eq!((&field["pointer"], &field["code"]), (&pointer.into(), &code.into()), "{query}");
        }
    }
}
