"""The same as shown.py in nft-map mode."""

from pathlib import Path

from lab import scenario

NEEDS = {"maps"}
TIMEOUT = 240


def run(lab):
    lab.mode = "maps"
    scenario.load(Path(__file__).with_name("shown.py")).run(lab)
