use super::*;

#[test]
fn a_seed_is_the_same_run_again() {
    let templates = Templates::make().unwrap();
    for seed in 0..3 {
        let hashes: Vec<String> =
            (0..2).map(|_| run(&templates, seed, None).unwrap().history.hash()).collect();
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
    }
}

#[test]
fn seeds_differ() {
    let templates = Templates::make().unwrap();
    let one = run(&templates, 1, None).unwrap();
    assert_ne!(one.history.hash(), run(&templates, 2, None).unwrap().history.hash());
    assert!(one.history.entries().len() > 20);
}
