#!/bin/bash
# Runs inside a guest that was booted with boot.sh --systemd: is this really systemd, and does it start units like ours?
set -eu

fail() { echo "boots.sh: $*" >&2; exit 1; }

[ "$(cat /proc/1/comm)" = systemd ] || fail "process 1 is $(cat /proc/1/comm)"

cat > /run/systemd/system/probe.service <<'UNIT'
[Unit]
Wants=modprobe@nf_nat_sip.service
After=modprobe@nf_nat_sip.service
[Service]
Type=notify
NotifyAccess=all
RuntimeDirectory=probe
ProtectSystem=strict
PrivateTmp=yes
ExecStart=/bin/sh -c 'systemd-notify --ready; exec sleep infinity'
ExecStopPost=/bin/sh -c 'echo stopped > /run/probe-stopped'
ReadWritePaths=/run
UNIT
systemctl daemon-reload
timeout 120 systemctl start probe.service || { systemctl status --no-pager probe.service; fail "a unit of Type=notify did not start"; }
systemctl is-active --quiet probe.service || fail "it is not active"
grep -q '^nf_nat_sip ' /proc/modules || fail "modprobe@nf_nat_sip.service loaded nothing"
# ExecStopPost= after a crash is what sipnat's unit relies on.
systemctl kill --signal=KILL probe.service
deadline=$((SECONDS + 60))
until [ -e /run/probe-stopped ]; do
    [ $SECONDS -lt $deadline ] || fail "ExecStopPost= did not run after a kill"
    sleep 0.2
done
echo "systemd $(systemctl --version | awk 'NR == 1 {print $2}') on $(uname -r): units start, notify and clean up"
