"""mode = "auto": expectations where the kernel can, else maps where the way out is told, else a list of what is missing.

What the kernel lacks stands in `status`, or, without an [[outside]], in what sipnatd says before it ends.
"""

import json

from lab.scenario import EXPECTATIONS_NEED

NEEDS = {"maps"}
TIMEOUT = 120
OUTSIDE = """
[[outside]]
interface = "wan0"
address = "203.0.113.1"
inside = ["192.168.0.0/16"]
"""


def run(lab):
    lab.for_sipnat_only()
    complete = all(lab.capabilities.get(name) for name in EXPECTATIONS_NEED)
    with lab.network("phone1", "server", mode="expectations", config=OUTSIDE) as net:
        answer = json.loads(net.gateway.control("status", "--json"))
        found = answer["mode"], answer["table"], answer["table_loaded"], answer["outside"], answer["notes"]
        if complete:
            assert found == ("expectations", "inet sipnat", True, [], []), answer
        else:
            assert found == ("maps", "inet sipnat_maps", True, ["wan0 203.0.113.1: inside 192.168.0.0/16"], []), answer
            assert answer["mode_why"].startswith("this kernel lacks "), answer
        assert not [warning for warning in answer["warnings"] if "outside" in warning], answer["warnings"]
        net.gateway.stop()
        told = without_outside(net)
        if complete:
            assert "ready: mode expectations" in told, told
        else:
            assert "(remedy: an [[outside]] in the settings)" in told and "missing: " in told, told


def without_outside(net):
    """What sipnatd says with nothing configured, until it runs or has ended."""
    arm = net.gateway
    arm.config.write_text("")
    try:
        arm.start()
    except AssertionError as ended:
        assert "ended by itself, status 1" in str(ended), ended
        arm.process.killed = True  # it has ended as it should: not stop()'s business
    return arm.process.output()
