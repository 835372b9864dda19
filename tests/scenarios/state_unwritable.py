"""The state file can't be written: calls work all the same, and `status` says what a restart would cost.

When its folder is there again, the file is as well.
"""

from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 180


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server") as net:
        gateway = net.gateway
        gateway.stop()
        missing = gateway.folder / "missing"
        gateway.environment["SIPNAT_STATE"] = str(missing / "state")
        gateway.start()
        assert "would not survive a restart" in gateway.control("status")

        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        call = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        call.talk()

        missing.mkdir()
        wait_until(lambda: (missing / "state").exists(), "the state file", 60, gateway.report)
        assert "would not survive a restart" not in gateway.control("status")
        call.hang_up(by=phone)
        gateway.assert_media_closed()
