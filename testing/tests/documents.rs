//! The documents agree with the tree: every test, file and heading that they name exists, every dependency is accounted for,
//! and every guide is there in both languages.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

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

/// Returns the texts between backticks.
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
    let document = read("docs/dependencies.md");
    let listed: BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(external, listed, "Cargo.toml and docs/dependencies.md");

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

/// Guides that are in English alone: figures, what tests and models write, and what only maintainers read.
const ENGLISH_ONLY: [&str; 3] = ["docs/dependencies.md", "docs/measurements.md", "docs/reliability.md"];

/// What the tests compare of a Markdown document.
#[derive(Default)]
struct Markdown {
    /// The level and the anchor of each heading.
    headings: Vec<(usize, String)>,
    /// The targets of all links and pictures.
    links: Vec<String>,
    code_blocks: usize,
    table_rows: usize,
}

impl Markdown {
    fn parse(text: &str) -> Self {
        let mut markdown = Self::default();
        let mut prose = String::new();
        let mut fence: Option<&str> = None;
        for line in text.lines() {
            let content = line.trim_start();
            let backticks = &content[..content.len() - content.trim_start_matches('`').len()];
            if let Some(open) = fence {
                if backticks.len() >= open.len() && content.trim_end() == backticks {
                    fence = None;
                }
            } else if backticks.len() >= 3 {
                fence = Some(backticks);
                markdown.code_blocks += 1;
            } else {
                markdown.read_line(line);
                prose.push_str(line);
                prose.push('\n');
            }
        }
        // A code span ends with its paragraph at the latest.
        for paragraph in prose.split("\n\n") {
            let outside_code = paragraph.split('`').step_by(2);
            let targets = outside_code.flat_map(|text| text.split("](").skip(1));
            markdown
                .links
                .extend(targets.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
        }
        markdown
    }

    fn read_line(&mut self, line: &str) {
        let level = line.len() - line.trim_start_matches('#').len();
        if let Some(title) = line[level..].strip_prefix(' ').filter(|_| (1..=6).contains(&level)) {
            let anchor = anchor(title);
            let earlier = self.headings.iter().filter(|(_, other)| *other == anchor).count();
            let suffix = if earlier == 0 {
                String::new()
            } else {
                format!("-{earlier}")
            };
            self.headings.push((level, anchor + &suffix));
        }
        self.table_rows += usize::from(line.trim_start().starts_with('|'));
    }

    /// The headings of each level, the code blocks and the table rows, for people who compare two documents.
    fn shape(&self) -> String {
        let levels = [1, 2, 3, 4, 5, 6].map(|level| self.headings.iter().filter(|(other, _)| *other == level).count());
        let (code_blocks, table_rows) = (self.code_blocks, self.table_rows);
        format!("headings by level {levels:?}, code blocks {code_blocks}, table rows {table_rows}")
    }
}

/// The anchor that GitHub gives a heading: letters, digits, `_` and `-` of any script in lower case, and `-` for each space.
fn anchor(title: &str) -> String {
    // Of a link the text counts, not the target.
    let mut parts = title.split("](");
    let text: String = parts.next().into_iter().collect();
    let text = parts.fold(text, |text, rest| {
        text + rest.split_once(')').map_or(rest, |(_, after)| after)
    });
    text.trim()
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | ' '))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

/// The Markdown files below `folder`, as paths from the root. Leaves out what tools put there.
fn documents_below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        };
        if entry.file_type().unwrap().is_dir() {
            let is_hidden = name.starts_with('.') && name != ".github";
            if !is_hidden && name != "target" && name != "node_modules" {
                found.extend(documents_below(&path));
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

/// Says what is wrong with a link of `document`, if anything is. Links to other hosts are not followed.
fn broken(document: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, wanted) = link
        .split_once('#')
        .map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let path = match file {
        "" => root().join(document),
        file => root().join(document).parent().unwrap().join(file),
    };
    if !path.exists() {
        return Some(format!("{document}: {link}: there is no such file"));
    }
    let wanted = wanted?;
    let has_heading = path.extension().is_some_and(|extension| extension == "md")
        && Markdown::parse(&fs::read_to_string(&path).unwrap())
            .headings
            .iter()
            .any(|(_, anchor)| anchor == wanted);
    (!has_heading).then(|| format!("{document}: {link}: there is no such heading"))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    assert_eq!(anchor("使用同一 AppID 的其他程序"), "使用同一-appid-的其他程序");
    assert_eq!(anchor("1. `sam deploy`, and [then](x.md)?"), "1-sam-deploy-and-then");
    let documents = documents_below("");
    assert!(documents.len() > 30, "{documents:?}");
    let faults: Vec<String> = documents
        .iter()
        .flat_map(|document| {
            let links = Markdown::parse(&read(document)).links;
            links.into_iter().filter_map(|link| broken(document, &link))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_guide_has_a_twin_of_the_same_shape() {
    let documents: BTreeSet<String> = documents_below("").into_iter().collect();
    let twin = |document: &str| document.replace(".md", ".zh-CN.md");
    let (chinese, english): (Vec<&String>, Vec<&String>) =
        documents.iter().partition(|name| name.ends_with(".zh-CN.md"));
    for document in &chinese {
        let original = document.replace(".zh-CN.md", ".md");
        assert!(documents.contains(&original), "{document} is the twin of nothing");
    }
    for document in ENGLISH_ONLY {
        assert!(documents.contains(document), "there is no {document}");
    }
    let for_users = |name: &str| name.starts_with("docs/") && !ENGLISH_ONLY.contains(&name);
    let for_users_elsewhere = ["README.md", "SECURITY.md", "local/simulator/README.md"];
    let mut faults = Vec::new();
    for document in english {
        if documents.contains(&twin(document)) {
            let shapes = [document, &twin(document)].map(|name| Markdown::parse(&read(name)).shape());
            if shapes[0] != shapes[1] {
                faults.push(format!("{document}: {}; its twin: {}", shapes[0], shapes[1]));
            }
        } else if for_users(document) || for_users_elsewhere.contains(&document.as_str()) {
            faults.push(format!("{document} has no twin in Chinese"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
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

/// The names in the first cell of each table row, with the names in the rest of the row.
fn rows_by_name(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    rows.flat_map(|(first, rest)| {
        let names = first.split('`').step_by(2);
        names.map(move |name| (name, quoted(rest).collect()))
    })
    .collect()
}

fn properties(schema: &Value) -> impl Iterator<Item = &str> {
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
}

/// The tests of `local` hold `openapi.json` to the code.
#[test]
fn the_guides_have_every_member_of_the_reply_rules() {
    let openapi: Value = serde_json::from_str(&read("openapi.json")).unwrap();
    let schemas = &openapi["components"]["schemas"];
    let rule = &schemas["Replies"]["properties"]["keywords"]["items"];
    let kinds = rule["properties"]["match"]["enum"].as_array().unwrap();
    let replies = schemas["Reply"]["oneOf"].as_array().unwrap();
    assert!(kinds.len() > 3 && replies.len() > 6, "{kinds:?} {replies:?}");
    for (document, heading) in [
        ("docs/http-api.md", "\n## Reply rules\n"),
        ("docs/http-api.zh-CN.md", "\n## 回复规则\n"),
    ] {
        let text = read(document);
        let section = text.split(heading).nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = rows_by_name(section);
        let names = properties(&schemas["Replies"]).chain(kinds.iter().filter_map(Value::as_str));
        for name in names {
            assert!(rows.contains_key(name), "{document} does not say what `{name}` is");
        }
        assert_eq!(rows["keywords"], properties(rule).collect(), "{document}: keywords");
        for reply in replies {
            let kind = reply["properties"]["type"]["const"].as_str().unwrap();
            let articles = properties(&reply["properties"]["articles"]["items"]);
            let known = properties(reply)
                .filter(|name| !["type", "then"].contains(name))
                .chain(articles);
            assert_eq!(
                rows.get(kind),
                Some(&known.collect()),
                "{document}: members of the reply `{kind}`"
            );
        }
    }
}
