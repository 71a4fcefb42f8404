//! What the documents say of the tree is so: every test that they name exists, every dependency is accounted for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The folders of the workspace's packages.
fn members() -> Vec<PathBuf> {
    let manifest = read("Cargo.toml");
    let list = manifest
        .split("\nmembers = [")
        .nth(1)
        .unwrap()
        .split(']')
        .next()
        .unwrap();
    let is_package = |folder: &PathBuf| folder.join("Cargo.toml").is_file();
    let members: Vec<PathBuf> = list
        .split('"')
        .skip(1)
        .step_by(2)
        .flat_map(|member| match member.strip_suffix("/*") {
            None => vec![root().join(member)],
            Some(parent) => {
                let folders = fs::read_dir(root().join(parent)).unwrap();
                folders.map(|entry| entry.unwrap().path()).filter(is_package).collect()
            }
        })
        .collect();
    assert!(members.len() > 10 && members.iter().all(is_package), "{members:?}");
    members
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The tests that a document names, as `path/to/file.rs::name_of_the_test` or the same with `.py`.
fn named_tests(document: &str) -> BTreeSet<(&str, &str)> {
    quoted(document)
        .filter_map(|quoted| quoted.split_once("::"))
        .filter(|(file, _)| file.ends_with(".rs") || file.ends_with(".py"))
        .collect()
}

fn exists(file: &str, test: &str) -> bool {
    let source = read(file);
    let keyword = if file.ends_with(".py") { "def " } else { "fn " };
    source
        .split(keyword)
        .skip(1)
        .any(|function| function.strip_prefix(test).is_some_and(|rest| rest.starts_with('(')))
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let english = read("SECURITY.md");
    let tests = named_tests(&english);
    assert!(tests.len() > 40, "SECURITY.md names {} tests", tests.len());
    for (file, test) in &tests {
        assert!(exists(file, test), "SECURITY.md: there is no {file}::{test}");
    }
    assert!(
        !exists("testing/tests/documents.rs", "every_test"),
        "half a name is no test"
    );
    let chinese = read("SECURITY.zh-CN.md");
    assert_eq!(named_tests(&chinese), tests, "SECURITY.md and SECURITY.zh-CN.md");
}

/// The names before ` =` or `.` in the lines of a manifest's tables whose header ends with `dependencies]`.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut in_table = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_table = line.ends_with("dependencies]");
        } else if in_table && line.starts_with(|first: char| first.is_ascii_lowercase()) {
            names.extend(line.split([' ', '.']).next().map(str::to_owned));
        }
    }
    names
}

#[test]
fn every_direct_dependency_is_justified_and_used() {
    let workspace = read("Cargo.toml");
    let external: BTreeSet<String> = dependencies(&workspace)
        .into_iter()
        .filter(|name| !workspace.contains(&format!("\n{name} = {{ path = ")))
        .collect();
    let document = read("DEPENDENCIES.md");
    let listed: BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(external, listed, "Cargo.toml and DEPENDENCIES.md");

    let used: BTreeSet<String> = members()
        .iter()
        .flat_map(|member| dependencies(&fs::read_to_string(member.join("Cargo.toml")).unwrap()))
        .collect();
    let unused: Vec<_> = external.difference(&used).collect();
    assert!(unused.is_empty(), "in Cargo.toml, and used by no package: {unused:?}");
}

/// `shared/` is the contract's name, and `wechat` what its users import.
#[test]
fn a_package_is_called_as_its_folder() {
    let workspace = fs::canonicalize(root()).unwrap();
    for member in members() {
        let manifest = fs::read_to_string(member.join("Cargo.toml")).unwrap();
        let package = manifest.split('"').nth(1).unwrap();
        let folder = fs::canonicalize(&member).unwrap();
        let path = folder.strip_prefix(&workspace).unwrap().to_str().unwrap();
        let names = [path.rsplit('/').next().unwrap().to_owned(), path.replace('/', "-")];
        assert!(
            names.iter().any(|name| name == package) || (path, package) == ("shared", "wechat"),
            "{path} holds the package {package}"
        );
    }
}

#[test]
fn every_package_forbids_unsafe_code() {
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"));
    for member in members() {
        let manifest = fs::read_to_string(member.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{member:?}");
    }
}

#[test]
fn every_check_of_ci_run_runs_on_github_too() {
    let script = read(".ci/run");
    let checks: BTreeSet<&str> = script
        .lines()
        .filter_map(|line| line.strip_prefix("step \"")?.split_once(" $just "))
        .map(|(_, recipe)| recipe)
        .filter(|recipe| *recipe != "--version")
        .collect();
    assert!(checks.len() > 15, "{checks:?}");
    let workflow = read(".github/workflows/ci.yml");
    let run: BTreeSet<&str> = workflow
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("recipes: "))
        .flat_map(|recipes| recipes.split(' '))
        .collect();
    let missing: Vec<_> = checks.difference(&run).collect();
    assert!(missing.is_empty(), "in .ci/run, and not in ci.yml: {missing:?}");
}

#[test]
fn every_file_that_contributing_names_exists() {
    let english = read("CONTRIBUTING.md");
    // A path has a slash, and no wildcard, list or command around it.
    let paths = |text: &str| -> BTreeSet<String> {
        quoted(text)
            .filter(|quoted| quoted.contains('/') && !quoted.contains([' ', '*', '{', ':', '<']))
            .filter(|quoted| !quoted.starts_with('/') && !quoted.contains('…'))
            .map(str::to_owned)
            .collect()
    };
    let named = paths(&english);
    assert!(named.len() > 30, "{named:?}");
    for path in &named {
        assert!(root().join(path).exists(), "CONTRIBUTING.md: there is no {path}");
    }
    assert_eq!(
        paths(&read("CONTRIBUTING.zh-CN.md")),
        named,
        "CONTRIBUTING.md and CONTRIBUTING.zh-CN.md"
    );
}
