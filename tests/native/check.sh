#!/bin/bash
# Reports one scenario's outcome out of what run-all.sh left.
#
#   check.sh OUT_DIR NAME
#
# Succeeds if it passed. Ends with 77 if it was skipped for the very reason that stands in expected-skips; any other skip
# is a failure.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=$1 name=$2 result=$1/$2.result
if [ ! -e "$result" ]; then
    echo "no result of $name; the last one begun was $(tail -n 1 "$out/progress" 2>/dev/null || echo none)"
    exit 1
fi
outcome=$(head -n 1 "$result")
case $outcome in
    pass) sed -n 2p "$result" ;;
    "skip missing: "*)
        echo "$name: ${outcome#skip missing: }"
        grep -qxF -- "$name: ${outcome#skip missing: }" "$here/expected-skips" && exit 77
        echo "tests/native/expected-skips does not have this line"
        exit 1
        ;;
    *)
        cat "$result"
        [ ! -d "$out/$name" ] || echo "captures and logs: $out/$name"
        exit 1
        ;;
esac
