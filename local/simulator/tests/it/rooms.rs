//! The modules of the simulator import one another in one direction, so there is no circle.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The rooms and files in `src`. Each may import only those before it.
const ORDER: [&str; 9] = [
    "platform",
    "observe",
    "settings",
    "push",
    "api",
    "simulation",
    "control",
    "connection",
    "server",
];

#[test]
fn no_module_imports_a_later_one() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules: BTreeSet<String> = files(&src).iter().map(|path| stem(path)).collect();
    let known: BTreeSet<String> = ORDER.iter().chain(&["lib"]).map(ToString::to_string).collect();
    assert_eq!(modules, known, "the modules in src");
    for (index, module) in ORDER.into_iter().enumerate() {
        let folder = src.join(module);
        let sources = if folder.is_dir() {
            files(&folder)
        } else {
            vec![folder.with_extension("rs")]
        };
        for path in sources {
            for imported in imports(&fs::read_to_string(&path).unwrap()) {
                let is_allowed = ORDER[..=index].contains(&&*imported);
                assert!(is_allowed, "{} imports crate::{imported}", path.display());
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The modules named after `crate::`, alone or in a braced list. Comments do not count: docs may link anywhere.
fn imports(source: &str) -> Vec<String> {
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect();
    let paths = code.split("crate::").skip(1);
    paths
        .flat_map(|path| match path.strip_prefix('{') {
            Some(list) => top_level_names(list),
            None => vec![name(path)],
        })
        .collect()
}

/// The first name of each entry of a list, up to the brace that closes it.
fn top_level_names(list: &str) -> Vec<String> {
    let mut depth = 0;
    let mut entries = vec![String::new()];
    for character in list.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => entries.push(String::new()),
            _ => entries.last_mut().unwrap().push(character),
        }
    }
    let names = entries.iter().map(|entry| name(entry));
    names.filter(|name| !name.is_empty()).collect()
}

fn name(path: &str) -> String {
    let is_part = |character: &char| character.is_ascii_alphanumeric() || *character == '_';
    path.trim_start().chars().take_while(is_part).collect()
}

#[test]
fn the_names_in_braces_and_alone_are_found() {
    let source = "use crate::{\n    a::{b, c},\n    d::e,\n};\nfn f() { crate::g::h() }\n/// [`crate::i`]\n";
    assert_eq!(imports(source), ["a", "d", "g"]);
}
