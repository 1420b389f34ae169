#!/usr/bin/env bash
# Builds what is shipped: all crates optimised as one, then the code laid out in the order in which calls run it.
#
#     scripts/dist.sh              prints the program's path on stdout
#     scripts/dist.sh --bench      lays out toolbay-bench as well, so that what Toolbay is compared with is built in the same way
#
# The compiler's part takes some 20 minutes and 6 GB on two cores, the layout some 4 minutes and 14 GB.
# The layout is BOLT's, from LLVM: an instrumented copy of the program serves a load, and what that load ran is put together, the rest far away. A call then
# misses the processor's caches for code less often. It needs x86-64, `llvm-bolt` and its runtime (Debian: bolt-19, libbolt-19-dev). Where they are not there,
# the program is left as the compiler made it, with a word.
#
# options:
#   --bench              lay out toolbay-bench too
#   --profile NAME       another profile of Cargo.toml (default: dist)
#   --require-layout     fail where BOLT is not there
#   --load FILE          a load that was recorded before (`toolbay.fdata`, kept beside the program): the same one gives the same program again
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf 'dist: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

profile=dist bench='' required='' load=''
while [ $# -gt 0 ]; do
    case $1 in
    --bench) bench=yes ;;
    --require-layout) required=yes ;;
    --profile) profile=${2:?--profile needs a name} && shift ;;
    --load) load=$(realpath "${2:?--load needs a file}") && shift ;;
    *) die "there is no option $1; the head of this script lists them" ;;
    esac
    shift
done

cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
built=$target/$profile
say "building, profile $profile"
# Both at once, since what one alone needs of its dependencies would be compiled by itself.
TOOLBAY_KEEP_RELOCATIONS=1 cargo build --profile "$profile" --locked --package toolbay --package toolbay-bench >&2

bolt=''
for name in llvm-bolt llvm-bolt-{22,21,20,19}; do
    # By its own name: BOLT looks for its runtime beside the folder that it was called in, and Debian's names in /usr/bin are links.
    if [ -z "$bolt" ] && path=$(command -v "$name"); then bolt=$(realpath "$path"); fi
done
missing=''
if [ "$(uname -m)" != x86_64 ]; then
    missing='this is not x86-64'
elif [ -z "$bolt" ]; then
    missing='llvm-bolt is not installed (Debian: apt install bolt-19 libbolt-19-dev)'
fi
# Without a layout the program is what the compiler made.
unlaid() {
    [ -z "$required" ] || die "no layout: $*"
    say "no layout by a recorded load: $*. The program works as well, a call costs some 30 % more CPU."
    printf '%s\n' "$built/toolbay"
    exit 0
}
[ -z "$missing" ] || unlaid "$missing"
tools=$(dirname "$bolt")
[ -e "$tools/../lib/libbolt_rt_instr.a" ] || unlaid "BOLT's runtime, $tools/../lib/libbolt_rt_instr.a, is missing (Debian: apt install libbolt-19-dev)"

laid=$built/laid-out
programs=(toolbay)
[ -z "$bench" ] || programs+=(toolbay-bench)
fresh=yes
for program in "${programs[@]}"; do
    if [ ! -e "$laid/$program" ] || [ "$laid/$program" -ot "$built/$program" ] || [ -n "$load" ]; then fresh=''; fi
done
if [ -n "$fresh" ]; then
    printf '%s\n' "$laid/toolbay"
    exit 0
fi
# With less, the machine stands still: BOLT goes over all of its memory again and again.
free=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
[ "$free" -ge 14 ] || unlaid "it takes 14 GiB of memory, and $free are free"
mkdir -p "$laid"
record=$laid/record
rm -rf "$record"
mkdir -p "$record"

# What ran, by a load like the benchmark's: calls of both revisions, plugins that call, fetch or guard, pipelines, a server on stdio.
# The figures of an instrumented program say nothing and are thrown away.
record_load() {
    local program
    for program in "${programs[@]}"; do
        say "instrumenting $program"
        # Each process writes what it ran when it ends, into a file of its own.
        "$bolt" "$built/$program" -instrument -o "$record/$program" --instrumentation-file="$record/$program.fdata" --instrumentation-file-append-pid \
            >"$record/$program.log" 2>&1 ||
            unlaid "BOLT could not instrument $program: $(tail -n 3 "$record/$program.log")"
    done
    local conductor=$record/toolbay-bench
    [ -e "$conductor" ] || conductor=$built/toolbay-bench
    "$root/scripts/build-plugins.sh" --toolbay "$built/toolbay" "$root/dist/plugins" >&2
    say 'recording a load'
    "$conductor" run --toolbay "$record/toolbay" --only calls,hops,guards,fetch,bridge --rounds 1 --out "$record/run/results.json" >"$record/run.log" 2>&1 ||
        unlaid "the load could not be recorded: $(tail -n 3 "$record/run.log")"
    for program in "${programs[@]}"; do
        "$tools/merge-fdata" "$record/$program".*.fdata >"$laid/$program.fdata" 2>"$record/merge.log" ||
            unlaid "what $program ran could not be put together: $(tail -n 3 "$record/merge.log")"
    done
}

if [ -n "$load" ]; then
    cp "$load" "$laid/toolbay.fdata"
else
    record_load
fi
for program in "${programs[@]}"; do
    say "laying out $program"
    "$bolt" "$built/$program" -o "$laid/$program.new" -data="$laid/$program.fdata" \
        -reorder-blocks=ext-tsp -reorder-functions=cdsort -split-functions -split-all-cold -split-eh -icf=1 -plt=hot -use-gnu-stack \
        >"$laid/$program.log" 2>&1 || unlaid "BOLT could not lay out $program: $(tail -n 3 "$laid/$program.log")"
    "$laid/$program.new" --help >/dev/null || unlaid "what BOLT made of $program does not start"
    mv "$laid/$program.new" "$laid/$program"
done
rm -rf "$record"
printf '%s\n' "$laid/toolbay"
