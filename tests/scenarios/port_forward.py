"""The gateway forwards SIP to a PBX behind it, and a range of UDP ports to another host.

    PBX phone1 192.168.77.2 <-- udp 5060 -- [gateway 203.0.113.1] --- phone outside 203.0.113.11
                    phone2 <-- udp 20000-20099

Destination NAT turns the roles around: the flow is opened from outside, and what the PBX says of itself leaves as the
gateway. The forwarded range lies in the range for media, and belongs to its owner: `status` and `--check` say so.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 120
FORWARD = """
table ip forwards {
    chain prerouting {
        type nat hook prerouting priority -100;
        iifname "wan0" udp dport 20000-20099 dnat to 192.168.77.3
    }
}
"""


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "outside", forward_sip_to="phone1") as net:
        gateway = net.gateway
        gateway.gateway.run("nft", "-f", "-", stdin=FORWARD)
        gateway.reload()
        status = gateway.control("status")
        assert "20000-20099 are forwarded (table ip forwards, chain prerouting)" in status, status

        pbx = UserAgent(net["phone1"], "pbx")
        caller = UserAgent(net["outside"], "carol")
        outside = Media(net["outside"], 30000)
        inside = Media(net["phone1"], 20000)
        call = Call(caller, pbx, to=("203.0.113.1", 5060), offer=sdp.audio(outside.address, outside.port))
        call.establish(sdp.audio(inside.address, inside.port))
        sip.assert_translated(call.ok_seen)
        [offered] = sdp.streams(call.invite_seen.body)
        [answered] = sdp.streams(call.ok_seen.body)
        assert answered.rtp == ("203.0.113.1", 10000), f"the PBX's media is announced at {answered.rtp}"
        talk(outside, answered, inside, offered)
        sip.assert_translated(call.hang_up(by=pbx))
        gateway.assert_media_closed()
