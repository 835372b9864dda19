"""The same as reboot.py in nft-map mode."""

from pathlib import Path

from lab import scenario

NEEDS = {"maps"}
TIMEOUT = 300


def run(lab):
    lab.mode = "maps"
    scenario.load(Path(__file__).with_name("reboot.py")).run(lab)
