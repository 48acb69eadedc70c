//! Check digits of the field's identifiers: Luhn (ICCID, IMEI) and mod 97 (EID).
//!
//! The inputs are digit strings; anything else has no check digit and answers `false`.

/// Whether the last digit is the Luhn check digit of those before it (ISO/IEC 7812-1; ITU-T E.118 for the ICCID,
/// 3GPP TS 23.003 for the IMEI).
pub fn luhn_ok(digits: &str) -> bool {
    if digits.len() < 2 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let sum = digits.bytes().rev().enumerate().fold(0u32, |sum, (place, byte)| {
        let digit = u32::from(byte.saturating_sub(b'0'));
        // Doubling gives 0–18, whose digit sum is the value, less 9 from 10 on.
        let weighted = match (place % 2, digit) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => digit * 2,
            (_, digit) => digit * 2 - 9,
        };
        (sum + weighted) % 10
    });
    sum == 0
}

/// Whether the number is 1 modulo 97, which is how the two check digits of an EID are verified (SGP.02 Annex J,
/// SGP.29).
pub fn mod97_ok(digits: &str) -> bool {
    if digits.len() < 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    digits.bytes().fold(0u32, |rest, byte| (rest * 10 + u32::from(byte.saturating_sub(b'0'))) % 97) == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn luhn_vectors() {
        for good in
            ["8965880812100011146", "89148000007829999354", "260531793113837", "490154203237518", "18"]
        {
            assert!(luhn_ok(good), "{good}");
        }
        for bad in ["8999924230456701650", "89860468152080349618", "260531793113838", "", "0", "1 8", "1८"]
        {
            assert!(!luhn_ok(bad), "{bad}");
        }
    }

    #[test]
    fn mod97_vectors() {
        assert!(mod97_ok("89034011560010000000000000000121"));
        assert!(!mod97_ok("89034011560010000000000000000122"));
        for bad in ["", "1", "01", "8903401156001000000000000000012x"] {
            assert!(!mod97_ok(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn exactly_one_last_digit_passes_luhn(body in "[0-9]{1,30}") {
            let passing = (0..10).filter(|last| luhn_ok(&format!("{body}{last}"))).count();
            prop_assert_eq!(passing, 1);
        }

        #[test]
        fn changing_any_one_digit_breaks_both(body in "[0-9]{30}", place in 0usize..30, by in 1u8..10) {
            let turned = |text: &str| {
                let mut bytes = text.as_bytes().to_vec();
                bytes[place] = b'0' + (bytes[place] - b'0' + by) % 10;
                String::from_utf8(bytes).unwrap()
            };
            let luhn = (0..10).map(|last| format!("{body}{last}")).find(|t| luhn_ok(t)).unwrap();
            prop_assert!(!luhn_ok(&turned(&luhn)));
            let eid = (2..=98).map(|check| format!("{body}{check:02}")).find(|t| mod97_ok(t)).unwrap();
            prop_assert!(!mod97_ok(&turned(&eid)));
        }
    }
}
