use strum::VariantArray as _;

use super::*;

#[test]
fn a_seed_is_the_same_run_again() {
    let templates = Templates::make(None).unwrap();
    for (seed, carriers) in (0..3).zip(Carriers::VARIANTS) {
        let setup = Setup { carriers: Some(*carriers), ..Setup::default() };
        let hashes: Vec<String> =
            (0..2).map(|_| run(&templates, seed, setup).unwrap().history.hash()).collect();
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
    }
}

#[test]
fn seeds_differ() {
    let templates = Templates::make(None).unwrap();
    let one = run(&templates, 1, Setup::default()).unwrap();
    assert_ne!(one.history.hash(), run(&templates, 2, Setup::default()).unwrap().history.hash());
    assert!(one.history.entries().len() > 20);
}
