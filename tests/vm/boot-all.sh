#!/bin/bash
# Boots once and runs all scenarios: the setup of CTest's fixture "vm".
#
#   boot-all.sh BUILD_DIR OUT_DIR KERNEL [LABEL]
#
# Succeeds if the guest finished in order; how each scenario went is in OUT_DIR and for check.sh to report.
# $SIPNAT_KERNEL overrules KERNEL, $SIPNAT_ARM says what runs in the gateways (default sipnat), $SIPNAT_MODE in which mode
# (default: expectations).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "$1") out=$2 kernel=${SIPNAT_KERNEL:-$3} label=${4:-}
# A result of an earlier run must not be taken for one of this run.
rm -rf "$out"
mkdir -p "$out"
status=0
"$here/boot.sh" --kernel "$kernel" --out "$out" --timeout 2100 \
    --env "SIPNAT_BIN_DIR=$build/bin" --env "SIPNAT_ARM=${SIPNAT_ARM:-sipnat}" --env "SIPNAT_MODE=${SIPNAT_MODE:-}" --env PYTHONPYCACHEPREFIX=/run/pycache \
    -- /usr/bin/python3 "$here/run_scenarios.py" --out /run/vm --label "$label" || status=$?
echo "kernel $kernel, $(cat "$out/seconds" 2>/dev/null || echo '?') s in all"
# 10: some scenarios failed, which is theirs to report.
[ "$status" -eq 0 ] || [ "$status" -eq 10 ]
