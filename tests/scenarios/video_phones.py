"""Two real phones with audio and video through a real proxy.

    baresip alice 192.168.77.2 --- [gateway] ---+--- kamailio    203.0.113.10
                                                +--- baresip bob 203.0.113.11

Each hears the other, and gets RTP and RTCP of both streams from where the other's description says that they are.
"""

from lab import sdp, sip
from lab.capture import Capture, is_rtcp, is_rtp
from lab.phones import PATIENCE, Baresip, Kamailio, wait_heard
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
ENOUGH = 20
"""Packets of video."""


def run(lab):
    with lab.network("phone1", "server", "outside") as net:
        Kamailio(net["server"])
        wires = {host: Capture(net[host]) for host in ("phone1", "outside")}
        alice = Baresip(net["phone1"], "alice", 440, video=True)
        bob = Baresip(net["outside"], "bob", 1000, video=True, rtp_ports="21000-21100")
        alice.wait_registered()
        bob.wait_registered()
        alice.dial(bob.uri)
        invite = bob.expect(lambda message: message.method == "INVITE", "INVITE")
        sip.assert_translated(invite)
        answer = alice.expect(lambda message: message.method == "INVITE" and message.status == 200, "200")
        told = {"outside": sdp.streams(invite.body), "phone1": sdp.streams(answer.body)}
        for streams in told.values():
            assert [stream.kind for stream in streams] == ["audio", "video"] and streams[1].rtp[1] != 0, f"told is {streams}"

        wait_heard([wires["phone1"].ear(bob.hertz), wires["outside"].ear(alice.hertz)])
        for host, streams in told.items():
            for stream in streams:
                for source, kind, count in ((stream.rtp, is_rtp, ENOUGH), (stream.rtcp, is_rtcp, 1)):
                    wait_until(lambda: wires[host].arrived(source, kind) >= count, f"{kind.__name__} from {source} at {host}", PATIENCE)
        bob.hang_up()
        alice.wait_idle()
        bob.wait_idle()
        net.gateway.assert_media_closed()
