#!/usr/bin/env bash
# What takes hours in full, and what no run of the tests tries: other generated inputs for each property test, the writer of the plugins' store
# killed again and again, a million names that a client makes up, and a page of the console that is open for an hour beside load.
#
#     scripts/soak.sh [ROUNDS]
#
# ROUNDS (10000) is how often the writer is killed; each property test is run once for each hundred of them, with a seed of its own.
# What fails is shown with its seed: PROPTEST_RNG_SEED=SEED cargo test --release -p toolbay --lib NAME
#
# TOOLBAY_HOSTILE_NAMES (1000000)    names that a hostile client sends; memory and the series of /metrics have to stay as they are
# TOOLBAY_CONSOLE_SECONDS (3600)     how long the page stays open; memory of host and browser has to stay flat (needs Chromium and the lab)
# TOOLBAY_CONSOLE_RATE               calls of a second beside that; unset, as many as there can be
# TOOLBAY_BIN, TOOLBAY_LAB           the binary that these two try, and the lab; else target/release/toolbay, and what scripts/lab.sh has made
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
rounds=${1:-10000}

# Only the modules that have property tests, each as the filter of its path.
mapfile -t modules < <(grep -rl 'proptest!' host/src | sed 's#^host/src/##; s#/mod\.rs$##; s#\.rs$##; s#/#::#g' | sort)
failed=0
for ((round = 1; round <= (rounds + 99) / 100; round++)); do
    seed=$((RANDOM << 15 | RANDOM))
    if ! PROPTEST_RNG_SEED=$seed cargo test --quiet --release --locked -p toolbay --lib -- "${modules[@]}" >/tmp/toolbay-soak.$$ 2>&1; then
        failed=1
        cat /tmp/toolbay-soak.$$
        printf 'soak: failed with PROPTEST_RNG_SEED=%s\n' "$seed" >&2
    fi
    rm -f /tmp/toolbay-soak.$$
done
TOOLBAY_STORE_ROUNDS=$rounds cargo test --release --locked -p toolbay --lib -- --exact --nocapture store::tests::nothing_that_was_acknowledged_is_lost_by_kill_9

export TOOLBAY_HOSTILE_NAMES=${TOOLBAY_HOSTILE_NAMES:-1000000} TOOLBAY_CONSOLE_SECONDS=${TOOLBAY_CONSOLE_SECONDS:-3600}
export TOOLBAY_LAB=${TOOLBAY_LAB:-$(scripts/lab.sh --print)}
if [[ -z ${TOOLBAY_BIN:-} ]]; then
    cargo build --release --locked -p toolbay
    export TOOLBAY_BIN=$PWD/target/release/toolbay
fi
cargo test --release --locked -p toolbay-tests --test e2e -- --include-ignored --exact --nocapture \
    made_up::names_that_callers_make_up_leave_no_trace \
    made_up::tokens_that_callers_make_up_leave_no_trace \
    console::a_page_that_stays_open_beside_load_takes_no_more_memory || failed=1
exit "$failed"
