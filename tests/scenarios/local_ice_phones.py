"""Two real phones with ICE on one LAN, without any STUN server, call each other through a real proxy outside.

    baresip alice 192.168.77.2 ---+--- [gateway] --- kamailio 203.0.113.10
    baresip bob   192.168.77.3 ---

Candidates are where c= and m= are, inside or outside as nat.local_media has it, or ICE would see a mismatch and give up.
"""

from lab import sdp
from lab.capture import Capture
from lab.phones import Baresip, Kamailio, wait_heard

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
GATEWAY = "203.0.113.1"


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server", config='[nat]\nlocal_media = "direct"\n') as net:
        Kamailio(net["server"])
        # Ports outside of the range for media: the outside ones are sure to be others.
        phones = [Baresip(net[host], user, hertz, ice=True, rtp_ports="40000-40100")
                  for host, user, hertz in (("phone1", "alice", 440), ("phone2", "bob", 1000))]
        wires = {phone: Capture(phone.node) for phone in phones}
        for phone in phones:
            phone.wait_registered()
        converse(wires, *phones, told_inside=True)
        configure(net.gateway, "hairpin")
        converse(wires, *reversed(phones), told_inside=False)
        net.gateway.assert_media_closed()


def configure(gateway, local_media):
    """For calls from now on."""
    gateway.config.write_text(gateway.config.read_text().replace('"direct"', f'"{local_media}"'))
    gateway.control("reload")


def converse(wires, caller, callee, told_inside):
    caller.dial(callee.uri)
    for reader, other in ((callee, caller), (caller, callee)):
        expect_described(reader, other.node.address if told_inside else GATEWAY)
    wait_heard([wires[caller].ear(callee.hertz), wires[callee].ear(caller.hertz)])
    callee.hang_up()
    caller.wait_idle()
    callee.wait_idle()


def expect_described(phone, address):
    """The next description that the phone reads has its media, and its candidates, there."""
    message = phone.expect(lambda message: message.method == "INVITE" and message.body, "a description")
    [stream] = sdp.streams(message.body)
    assert {at for at, _ in stream.components} == {address}, f"{phone} reads media at {stream} instead of {address}"
    found = [(one.kind, one.endpoint) for one in sdp.candidates(message.body)]
    assert found == [("host", endpoint) for endpoint in stream.components], f"{phone} reads candidates {found}, and media at {stream}"
