//! Chance from a seed. Small and of our own, so that a seed means the same run on every machine and for ever.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Chance from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Sixty-four bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Another source that goes its own way from here.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.bits())
    }

    /// From 0 to `end` − 1; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.bits() % end }
    }

    /// A place in something of this length.
    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap_or(u64::MAX))).unwrap_or_default()
    }

    /// From `first` to `last`, both included.
    pub fn within(&mut self, first: i64, last: i64) -> i64 {
        let span = u64::try_from(last.saturating_sub(first)).unwrap_or_default() + 1;
        first.saturating_add(i64::try_from(self.below(span)).unwrap_or_default())
    }

    /// True `n` times of a thousand.
    pub fn per_mille(&mut self, n: u16) -> bool {
        self.below(1000) < u64::from(n)
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let place = self.place(of.len());
        of.get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_first_values() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.bits(), 6_457_827_717_110_365_317);
        assert_eq!(rng.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn ranges_hold() {
        let mut rng = Rng::new(3);
        for _ in 0..1000 {
            assert!(rng.below(7) < 7 && (-2..=2).contains(&rng.within(-2, 2)));
        }
        assert_eq!((rng.below(0), rng.place(0), rng.within(5, 5)), (0, 0, 5));
        assert!(!rng.per_mille(0) && rng.per_mille(1000));
        assert_eq!(rng.pick::<u8>(&[]), None);
    }
}
