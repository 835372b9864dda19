"""Two real phones with ICE, one of them behind the gateway, without any STUN server, through a real proxy.

    baresip alice 192.168.77.2 --- [gateway] ---+--- kamailio    203.0.113.10
                                                +--- baresip bob 203.0.113.11

Alice has nothing but host candidates. Outside they are those endpoints that her c= and m= name too, or ICE would see a
mismatch and give up. The checks show her what NAT does, and when she is the caller she sends the result in a re-INVITE: now
she describes her outside endpoint herself, and that is the stream that there was.
"""

from lab import sdp
from lab.capture import Capture
from lab.phones import Baresip, Kamailio, wait_heard

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    with lab.network("phone1", "server", "outside") as net:
        Kamailio(net["server"])
        wires = {host: Capture(net[host]) for host in ("phone1", "outside")}
        # Ports outside of the range for media: the outside ones are sure to be others.
        alice = Baresip(net["phone1"], "alice", 440, ice=True, rtp_ports="40000-40100")
        bob = Baresip(net["outside"], "bob", 1000, ice=True, rtp_ports="21000-21100")
        alice.wait_registered()
        bob.wait_registered()
        for caller, callee in ((alice, bob), (bob, alice)):
            caller.dial(callee.uri)
            told = {callee: described(callee), caller: described(caller)}
            wait_heard([wires["outside"].ear(alice.hertz, told[bob].rtp), wires["phone1"].ear(bob.hertz, told[alice].rtp)])

            if caller is alice:
                result = bob.expect(lambda message: message.method == "INVITE" and message.body, "a re-INVITE")
                assert sdp.streams(result.body) == [told[bob]], f"bob was told {told[bob]}, and then\n{result}"
                assert "a=remote-candidates" in result.body.decode()
                assert described(alice) == told[alice]
            callee.hang_up()
            caller.wait_idle()
            callee.wait_idle()
        net.gateway.assert_media_closed()


def described(phone):
    """The next description that the phone reads, whose candidates have to be where the media is."""
    message = phone.expect(lambda message: message.method == "INVITE" and message.body, "a description")
    [stream] = sdp.streams(message.body)
    found = [(one.kind, one.endpoint) for one in sdp.candidates(message.body)]
    assert found == [("host", endpoint) for endpoint in stream.components], f"{phone} reads candidates {found}, and media at {stream}"
    return stream
