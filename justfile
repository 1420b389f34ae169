# Shortcuts for those who have `just`. Each is one script or one cargo command that works without it.

# List the recipes.
default:
    @just --list

# Fetch once: the WebAssembly target, the MCP clients, the conformance suite.
setup:
    scripts/wasm-toolchain.sh >/dev/null
    scripts/lab.sh

# Build the host.
build:
    cargo build --release --locked --package toolbay

# Build the bundled plugins into dist/plugins.
plugins: build
    scripts/build-plugins.sh

# Build everything and serve it at http://127.0.0.1:8000/mcp.
serve *options:
    scripts/serve.sh {{ options }}

# Run all tests; `just test reload` runs those with that word in their name.
test *options:
    scripts/test.sh {{ options }}

# Try the README's first command on a fresh Debian in a folder, timed (needs root and debootstrap).
fresh *options:
    scripts/fresh.sh {{ options }}

# Check format, lints, documentation, licences and bans.
lint:
    scripts/lint.sh

# Build what is shipped: optimised as one and laid out by a recorded load (30 minutes, 14 GB).
dist *options:
    scripts/dist.sh {{ options }}

# Build a container image from what is on this machine.
image *options:
    scripts/image.sh {{ options }}

# Measure what a call costs, next to bare servers.
bench *options:
    scripts/bench.sh {{ options }}

# Compare with other MCP servers, gateways and bridges, in one run and one table (fetches some 1.8 GB the first time).
peers *options:
    scripts/bench-peers.sh {{ options }}

# Try a fleet on several hosts for real: three nodes of Docker Swarm, cut off, killed, updated and scaled under load (needs root and docker.io).
swarm *arguments:
    scripts/swarm.sh {{ arguments }}

# What takes hours in full: generated inputs that no run has seen yet, and a killed writer of the plugins' store, 10,000 times each.
soak rounds="10000":
    scripts/soak.sh {{ rounds }}

# A neighbour's calls beside attacks: none may fail, and p99 should stay within twice of alone, or of what the same load of another process does to it.
attacks *options: build plugins
    scripts/build-test-plugins.sh
    cargo run --release --locked --package toolbay-bench -- attacks {{ options }}

# Measure what a token of a T5 costs, next to transformers and CTranslate2 (fetches some 4 GB the first time).
bench-inference *options:
    scripts/bench-inference.sh {{ options }}

# Have the command-line clients on npm connect as `toolbay connect` says (fetches some 1.1 GB the first time).
clients: build plugins
    scripts/clients-try.sh

# Run the tests that need an NVIDIA GPU.
test-gpu:
    scripts/test-gpu.sh

# Look for known vulnerabilities (needs network access to their database).
advisories:
    cargo deny check advisories

# Reads some 2600 real OpenAPI documents and says what becomes of them (fetches 45 MB the first time).
openapi-corpus *folder:
    scripts/openapi-corpus.sh {{ folder }}

# Has every known client read what is published of real OpenAPI documents (`openapi`) or of real servers (`servers`).
clients-lint what *options: build
    scripts/clients-lint.sh {{ what }} {{ options }}
