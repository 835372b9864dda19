"""An answer from outside names a host of another inside network as its media address.

    phone1 192.168.77.2 ----- lan0 [gateway] wan0 --+-- server 203.0.113.10
    neighbour 192.168.78.2 -- lan1                  +-- media  203.0.113.12
              198.51.100.2 --

The firewall lets the phones reach only SIP outside, and what is related. An expectation towards the neighbour would
make that flow "related": whoever answers a call could open any inside network to the phone's. Its private address is
refused for what it is, its public one because the route to it leads inside. An address that is really outside is
reached, so the firewall is not what keeps the others safe.
"""

from lab import sdp
from lab.rtp import Media
from lab.ua import Call, UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 120


def run(lab):
    with lab.network("phone1", "neighbour", "server", "media", firewall="restricted") as net:
        net.gateway.gateway.run("ip", "addr", "add", "198.51.100.1/24", "dev", "lan1")
        net["neighbour"].run("ip", "addr", "add", "198.51.100.2/24", "dev", "eth0")
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        inside = Media(net["phone1"], 20000)
        for number, address in enumerate(("192.168.78.2", "198.51.100.2")):
            port = 30000 + 10 * number
            victim = net["neighbour"].udp_socket(port, address)
            call_with_media_at(phone, provider, inside, address, port)
            assert not arrived(victim), f"{address} was reached through the firewall"
            towards = [flow for flow in net.gateway.flows() if flow.original.destination[0] == address]
            assert not towards, f"conntrack has {towards}"

        server = net["media"].udp_socket(30100)
        call_with_media_at(phone, provider, inside, net["media"].address, 30100)
        assert arrived(server), "media to an outside address was stopped as well"
        net.gateway.assert_media_closed()


def call_with_media_at(phone, provider, inside, address, port):
    """A call that is answered with this media address; the phone sends there, and hangs up.

    The gateway forwards in order: once the BYE's round trip is done, the media has arrived or never will.
    """
    call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, inside.port))
    call.establish(sdp.audio(address, port))
    [answered] = sdp.streams(call.ok_seen.body)
    assert answered.rtp == (address, port)
    inside.send(answered, 5)
    call.hang_up(by=phone)


def arrived(receiver):
    receiver.setblocking(False)
    try:
        return bool(receiver.recv(2048))
    except BlockingIOError:
        return False
