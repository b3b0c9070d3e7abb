# The commands of daily work. `just` alone lists them.

default:
    @just --list

# Everything in one process, data in ./orrery-data
dev:
    cargo run --release -- dev

# The test command of the README
test:
    cargo test --workspace

# What CI asks of the source
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny check licenses bans sources

# All of CI
ci:
    bash .ci/run

# A quick look at what this machine can do
bench:
    cargo run --release -- bench quick

# Kill the router under load, again and again, and check what it remembers
kill rounds="20" seed="1":
    cargo build --release --workspace
    target/release/jepsen kill --rounds {{rounds}} --seed {{seed}}

# Simulate many seeds, and sum up
soak seeds="1000" from="1":
    cargo build --release -p jepsen
    target/release/jepsen sim --seeds {{seeds}} --from {{from}} --json > target/jepsen/soak.jsonl || true
    target/release/jepsen sum target/jepsen/soak.jsonl

# Break real binaries again and again, through every scenario and every mix of faults, and add up what came of it
soak-processes runs="100" from="1" seconds="120" jobs="1":
    cargo build --release -p jepsen -p orrery
    target/release/jepsen process --matrix --seeds {{runs}} --from {{from}} --seconds {{seconds}} --jobs {{jobs}} || true
    target/release/jepsen bars

# Fuzz one parser (certificate, contracts, files, goim_frame, http_request, http_session, json_protocol, log_record, node_list, push_api, sdk_device, tls_device); needs cargo-fuzz and a nightly toolchain
fuzz target seconds="60":
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}

# Record anew what tests compare with: scripts' answers, wire and disk bytes, placement. Read the diff!
golden:
    ORRERY_RECORD=1 ORRERY_WRITE_GOLDEN=1 ORRERY_WRITE_VECTORS=1 cargo test -p orrery-model -p orrery-proto -p orrery-router-core

# Known vulnerabilities of the dependencies; needs the network
advisories:
    cargo deny check advisories
