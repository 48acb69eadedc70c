//! Numbers counted from a seed: ids and the dice of the failure scripts. Two twins with one seed behave alike.

/// splitmix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// True in `chance` of 1000 draws.
    pub(crate) fn per_mille(&mut self, chance: u16) -> bool {
        self.next() % 1000 < u64::from(chance)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// A text in the shape of a version 4 UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | ((low >> 48) & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }

    /// 32 hexadecimal digits in upper case.
    pub(crate) fn hex32(&mut self) -> String {
        format!("{:016X}{:016X}", self.next(), self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_published_generator_and_repeats() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
        assert_eq!(Random::new(7).uuid(), Random::new(7).uuid());
        let uuid = Random::new(7).uuid();
        assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'));
    }

    #[test]
    fn chances_are_kept() {
        let mut random = Random::new(1);
        assert_eq!((0..1000).filter(|_| random.per_mille(0)).count(), 0);
        assert_eq!((0..1000).filter(|_| random.per_mille(1000)).count(), 1000);
        let hits = (0..10_000).filter(|_| random.per_mille(250)).count();
        assert!((2300..2700).contains(&hits), "{hits}");
        assert_eq!(random.below(0), 0);
    }
}
