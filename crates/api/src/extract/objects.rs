//! A struct is a JSON object. The code that serde derives takes an array for it too, value by value in the order of the
//! source: then the order of our fields would be part of the contract, and `["a", "b"]` would be a request.
//!
//! And an integer is any number without a fraction, as JSON and its schemas have it: `1.0` is one, and so is `1e2`.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// A deserializer, and whatever serde makes of it on the way in, that reads structs from objects alone, at any depth.
pub(crate) struct Objects<T>(pub(crate) T);

/// The same for what asks for an integer.
macro_rules! ask_integer {
    ($($method:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Integer(visitor))
        }
    )*};
}

/// Hands a type's question on, so that what comes of it is watched too.
macro_rules! ask {
    ($($method:ident($($name:ident: $kind:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* Objects(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Objects(visitor))
    }

    ask_integer! {
        deserialize_i8;
        deserialize_i16;
        deserialize_i32;
        deserialize_i64;
        deserialize_i128;
        deserialize_u8;
        deserialize_u16;
        deserialize_u32;
        deserialize_u64;
        deserialize_u128;
    }

    ask! {
        deserialize_any();
        deserialize_bool();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// What waits for an integer, and gets one also where a number is written with a fraction of nothing.
struct Integer<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Integer<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.0.visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.0.visit_u64(value)
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<V::Value, E> {
        self.0.visit_i128(value)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<V::Value, E> {
        self.0.visit_u128(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        // By its digits, so that nothing is rounded on the way; what fits no integer stays a fraction to the visitor.
        let digits = (value.fract() == 0.0).then(|| format!("{value:.0}"));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(whole) => self.0.visit_i64(whole),
            None => self.0.visit_f64(value),
        }
    }
}

macro_rules! tell {
    ($($method:ident($kind:ty);)*) => {$(
        fn $method<E: Error>(self, value: $kind) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Objects<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    tell! {
        visit_bool(bool);
        visit_i8(i8);
        visit_i16(i16);
        visit_i32(i32);
        visit_i64(i64);
        visit_i128(i128);
        visit_u8(u8);
        visit_u16(u16);
        visit_u32(u32);
        visit_u64(u64);
        visit_u128(u128);
        visit_f32(f32);
        visit_f64(f64);
        visit_char(char);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Objects(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(fields))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Objects(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Objects<A> {
    type Error = A::Error;
    type Variant = Objects<A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), A::Error> {
        let (name, content) = self.0.variant_seed(seed)?;
        Ok((name, Objects(content)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.0.newtype_variant_seed(Objects(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Objects(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.newtype_variant_seed(Fields(visitor))
    }
}

/// The fields of a variant that is like a struct.
struct Fields<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Fields<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        inner.deserialize_map(Objects(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        a: i64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        Unit,
        Newtype(Inner),
        Pair(i64, Inner),
        Struct { a: i64 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Nothing {}

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(Inner);

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Everything {
        list: Vec<Inner>,
        optional: Option<Inner>,
        named: BTreeMap<String, Inner>,
        pair: Option<(String, Inner)>,
        wrapped: Option<Wrapped>,
        choice: Option<Choice>,
        nothing: Option<Nothing>,
        free: Value,
        scalars: Option<(bool, u8, i64, f64, char, String)>,
    }

    fn read(text: &str) -> Result<Everything, String> {
        let mut json = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(Objects(&mut json))
            .map_err(|error| format!("{}: {}", error.path(), error.inner()))
    }

    #[test]
    fn objects_are_read_as_without_it() {
        for text in [
            "{}",
            r#"{"list": [{"a": 1}, {"a": 2}], "optional": {"a": 3}, "named": {"x": {"a": 4}}, "pair": ["p", {"a": 5}]}"#,
            r#"{"wrapped": {"a": 1}, "nothing": {}, "choice": "unit", "free": {"x": [1, [2, null]], "y": 1.5}}"#,
            r#"{"choice": {"newtype": {"a": 1}}, "optional": null, "scalars": [true, 1, -1, 0.5, "c", "text\n"]}"#,
            r#"{"choice": {"pair": [1, {"a": 1}]}, "free": ["text", {}], "unknown": [[], {}]}"#,
            r#"{"choice": {"struct": {"a": 1}}}"#,
        ] {
            assert_eq!(read(text).unwrap(), serde_json::from_str(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_fraction_is_an_integer() {
        for (text, a) in [
            ("1.0", 1),
            ("1e2", 100),
            ("-0.0", 0),
            ("-3.0", -3),
            ("12e-1", 0),
            ("1e300", 0),
            ("1e18", 10i64.pow(18)),
        ] {
            let read = read(&format!(r#"{{"optional": {{"a": {text}}}}}"#));
            match a {
                0 if text != "-0.0" => assert!(read.unwrap_err().contains("floating point"), "{text}"),
                a => assert_eq!(read.unwrap().optional, Some(Inner { a }), "{text}"),
            }
        }
        assert_eq!(
            read(r#"{"free": 1.0}"#).unwrap().free,
            serde_json::json!(1.0),
            "what is free stays as it is"
        );
        assert!(read(r#"{"scalars": [true, 256.0, 1, 1.0, "c", "t"]}"#).unwrap_err().contains("expected u8"));
        assert!(read(r#"{"scalars": [true, 1, 1, 2.0, "c", "t"]}"#).is_ok());
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        for (text, place) in [
            ("[]", "."),
            (r#"{"list": [{"a": 1}, [2]]}"#, "list[1]"),
            (r#"{"optional": [3]}"#, "optional"),
            (r#"{"named": {"x": [4]}}"#, "named.x"),
            (r#"{"pair": ["p", [5]]}"#, "pair[1]"),
            (r#"{"wrapped": [1]}"#, "wrapped"),
            (r#"{"nothing": []}"#, "nothing"),
            (r#"{"choice": {"newtype": [1]}}"#, "choice.newtype"),
            (r#"{"choice": {"pair": [1, [1]]}}"#, "choice.pair[1]"),
            (r#"{"choice": {"struct": [1]}}"#, "choice.struct"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(
                refused.starts_with(&format!("{place}: invalid type: sequence, expected")),
                "{text}: {refused}"
            );
        }
    }
}
