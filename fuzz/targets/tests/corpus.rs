//! Feeds every file of the corpora to its target, on stable Rust: a regression test for the fuzzer's findings.

use std::{collections::BTreeSet, fs, path::Path};

use fuzz_targets::TARGETS;

#[test]
fn the_corpora_hold_no_finding() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let names = fs::read_dir(&corpora).unwrap();
    let names: BTreeSet<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, TARGETS.iter().map(|(name, _)| (*name).into()).collect());
    for (name, target) in TARGETS {
        let mut files = 0;
        for entry in fs::read_dir(corpora.join(name)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
            files += 1;
        }
        assert!(files > 10, "the corpus of {name} holds {files} files");
    }
}
