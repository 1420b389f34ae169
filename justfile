# Shortcuts for who has `just`; each is one script or one cargo line that works without it.

# What there is.
default:
    @just --list

# Everything that is fetched once: the WebAssembly target, the MCP clients, the conformance suite.
setup:
    scripts/wasm-toolchain.sh >/dev/null
    scripts/lab.sh

# The host.
build:
    cargo build --release --locked --package toolbay

# The plugins that ship, into dist/plugins.
plugins: build
    scripts/build-plugins.sh

# Build all and serve it at http://127.0.0.1:8000/mcp.
serve *options:
    scripts/serve.sh {{ options }}

# All tests; `just test reload` runs those with that word in their name.
test *options:
    scripts/test.sh {{ options }}

# Format, lints, documentation, licences and bans.
lint:
    scripts/lint.sh

# One run, one table: what a call costs, beside bare servers.
bench *options:
    scripts/bench.sh {{ options }}

# What a token of a T5 costs, beside transformers and CTranslate2 (fetches some 4 GB the first time).
bench-inference *options:
    scripts/bench-inference.sh {{ options }}

# Models on an NVIDIA GPU: the tests that need one.
test-gpu:
    scripts/test-gpu.sh

# Known vulnerabilities; needs the network that has their database.
advisories:
    cargo deny check advisories

# Reads some 2600 real OpenAPI documents and says what becomes of them (fetches 45 MB the first time).
openapi-corpus *folder:
    scripts/openapi-corpus.sh {{ folder }}
