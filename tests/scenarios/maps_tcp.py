"""SIP over TCP in nft-map mode on a kernel that has more: what the native tier runs in this mode, on the stock kernels.

Entries are made anew by ctnetlink with the answer to the first packet, translated by masquerade, by a port forward, or by a map
for a phone's listening port; streams are compared to the byte, with a daemon that dies meanwhile and nothing that is released.
"""

from pathlib import Path

from lab import scenario

NEEDS = {"maps", "expectations"}
TIMEOUT = 600


def run(lab):
    lab.for_sipnat_only()
    lab.mode = "maps"
    for name in ("register", "500_messages", "segments", "port_forward", "listening_contact", "daemon_killed"):
        scenario.load(Path(__file__).with_name(f"tcp_{name}.py")).run(lab)
