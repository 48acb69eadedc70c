# Commands of everyday work; `just` lists them. CI runs `.ci/run`, which is `just ci`.

set shell := ["bash", "-euo", "pipefail", "-c"]

# List the commands
default:
    @just --list --unsorted

# Start the sandbox (or the configured server)
run *arguments:
    cargo run -- {{ arguments }}

# Start the carrier twin alone
twin listen="127.0.0.1:8090":
    cargo run -- twin --listen {{ listen }}

# Fast checks before a commit
check: fmt lint
    scripts/check-dependency-direction
    scripts/check-licenses

# Format the code
fmt:
    cargo fmt --all

# Clippy, warnings are errors
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# All tests; PostgreSQL too when it is installed
test *arguments:
    cargo test --workspace --locked {{ arguments }}

# All tests, PostgreSQL required: on one throw-away server
test-pg *arguments:
    CI=true scripts/with-postgres cargo test --workspace --locked {{ arguments }}

# Write docs/LIFECYCLE.md and docs/EVENTS.md anew from the domain
docs:
    UPDATE_DOCS=1 cargo test -p simdepot-domain the_page

# Write openapi/simdepot.v1.json anew from the served routes
openapi:
    UPDATE_OPENAPI=1 cargo test -p simdepot-api --lib openapi

# Fuzz the API against its OpenAPI document
fuzz:
    cargo build
    scripts/check-api

# How many seeds `just prove` runs: `just prove 500`, `just prove SEEDS=500` or `just SEEDS=500 prove`
SEEDS := "10000"

# Simulate seeds, each a run of its own (docs/PROOF.md); PROVE_SEED=<first seed> runs the same ones again
prove seeds=SEEDS:
    seeds={{ seeds }}; cargo run --release --locked -p prove -- sim --seeds "${seeds#SEEDS=}"

# Take one guard away at a time: the checker must notice
prove-guards:
    cargo run --release --locked -p prove -- guards

# Kill the real binary under load, on both databases
prove-real:
    cargo build --release --locked -p prove -p simdepot-api --bins
    for database in sqlite postgres; do \
      "${CARGO_TARGET_DIR:-target}/release/prove" real --database "$database" --processes 2; \
    done

# Measure the order path against PostgreSQL's own limit and against peers (docs/PERFORMANCE.md); `just bench --quick` for a look
bench *arguments:
    cargo run --release --locked -p bench -- {{ arguments }}

# Micro-benchmarks of the parsers, QR codes and encryption
bench-micro *arguments:
    cargo bench --locked -p bench -- {{ arguments }}

# Validate docker-compose.yml and .env.example
compose:
    scripts/check-compose

# Licences, bans, sources and advisories (cargo install cargo-deny --locked)
deny:
    cargo deny --locked check

# Everything CI runs
ci:
    .ci/run
