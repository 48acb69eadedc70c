//! Contact data of a subscriber: personal, so nothing shows them but the carrier's own system.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::country::CountryCode;

/// What the carrier keeps of a subscriber. Absent fields stay as they are.
///
/// `Debug` names the fields that are set and shows none.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    /// Point of sale.
    pub point_of_sale: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Date of birth, `YYYY-MM-DD`.
    pub date_of_birth: Option<String>,
    /// Company.
    pub company: Option<String>,
    /// Street and number.
    pub address: Option<String>,
    /// Postal code.
    pub zip_code: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Country.
    pub country: Option<CountryCode>,
    /// E-mail address.
    pub contact_email: Option<String>,
}

impl Contact {
    /// The names of the fields that are set.
    pub fn fields(&self) -> Vec<&'static str> {
        [
            ("point_of_sale", self.point_of_sale.is_some()),
            ("title", self.title.is_some()),
            ("first_name", self.first_name.is_some()),
            ("last_name", self.last_name.is_some()),
            ("date_of_birth", self.date_of_birth.is_some()),
            ("company", self.company.is_some()),
            ("address", self.address.is_some()),
            ("zip_code", self.zip_code.is_some()),
            ("city", self.city.is_some()),
            ("country", self.country.is_some()),
            ("contact_email", self.contact_email.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
        .collect()
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Contact").field(&self.fields()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_which_fields_and_not_what_they_say() {
        let contact = Contact { last_name: Some("Curie".to_owned()), ..Contact::default() };
        assert_eq!(format!("{contact:?}"), "Contact([\"last_name\"])");
    }
}
