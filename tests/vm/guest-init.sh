#!/bin/bash
# The guest's first program after the initramfs (see kernel.sh): finishes the system and runs what boot.sh was asked to run.
#
#   guest-init.sh          as PID 1: mounts, modules, then the command, or systemd, which calls:
#   guest-init.sh run      the command, its outcome, power off
#
# /run/vm is the writable share. .boot/ in it holds boot.sh's order (env), and takes the heartbeat and the outcome.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
# For lab/capabilities.py.
export SIPNAT_OWN_KERNEL=1
boot=/run/vm/.boot
. "$boot/env"

run() {
    # What the command prints goes to the share, not to the console: there it would mix with the kernel's messages.
    bash -c 'cd / && exec "$@"' guest "${COMMAND[@]}" >> /run/vm/output.log 2>&1 </dev/null
    # A crashed guest cannot write the token. Renamed, so that it is never seen half written.
    echo "$TOKEN $?" > "$boot/outcome.new"
    mv "$boot/outcome.new" "$boot/outcome"
    sync
    echo o > /proc/sysrq-trigger
    sleep 60
}

if [ "${1:-}" = run ]; then
    run
    exit
fi

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run/netns /run/lock
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup
mkdir -p /lib/modules
mount --bind "$KERNEL_FOLDER/lib/modules" /lib/modules
ip link set lo up

# What the scenarios use. Modules that this kernel lacks are named; whether that matters is for each scenario's NEEDS to say.
# A guest with systemd gets none: there the units have to see to it themselves.
[ "$MODE" = systemd ] || for module in nfnetlink nf_conntrack nf_conntrack_netlink nfnetlink_cthelper nfnetlink_queue nfnetlink_log nf_tables nft_ct nft_nat \
    nft_masq nft_redir nft_chain_nat nft_queue nft_log nft_limit nft_hash nft_numgen nft_fib_inet nft_reject_inet nft_compat \
    nf_nat_sip nf_conntrack_sip nf_nat nf_flow_table nf_flow_table_inet nft_flow_offload \
    nfnetlink_cttimeout xt_CT xt_conntrack xt_MASQUERADE xt_nat xt_NFQUEUE xt_tcpudp xt_multiport xt_comment xt_mark xt_connmark \
    xt_TCPMSS veth bridge dummy sch_netem sch_tbf; do
    modprobe "$module" 2>/dev/null || echo "$module"
done > "$boot/missing-modules"
# Not settable in a network namespace; the default of a guest this small would not carry a busy gateway.
[ "$MODE" = systemd ] || sysctl -qw net.netfilter.nf_conntrack_expect_max=20000

(
    while :; do
        date +%s > "$boot/heartbeat"
        sleep 3
    done
) &

if [ "$MODE" = plain ]; then
    run
fi

mkdir -p /run/systemd/system /run/tmpfiles.d
# Emptying /tmp at boot would take a source or build tree there from the guest's sight (and half a minute).
ln -s /dev/null /run/tmpfiles.d/tmp.conf
[ -z "$UNITS" ] || cp -r "$UNITS"/. /run/systemd/system/
cat > /run/systemd/system/vm-test.service <<UNIT
[Unit]
Description=The test that this machine was booted for
Requires=sysinit.target dbus.socket
After=sysinit.target dbus.socket
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/bash $boot/guest-init.sh run
UNIT
exec /lib/systemd/systemd --unit=vm-test.service
