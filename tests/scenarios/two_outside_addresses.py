"""A gateway with two outside addresses: each phone's flow leaves with its own, and so do its Contact and its media.

    phone1 192.168.77.2 --- [gateway] 203.0.113.1 --- server 203.0.113.10
    phone2 192.168.77.3 ---           203.0.113.5
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register

NEEDS = {"expectations"}
TIMEOUT = 240
ADDRESSES = {"phone1": "203.0.113.1", "phone2": "203.0.113.5"}


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server", firewall="restricted") as net:
        node = net.gateway.gateway
        node.run("ip", "addr", "add", "203.0.113.5/24", "dev", "wan0")
        node.run("nft", "insert rule ip admin postrouting oifname wan0 ip saddr 192.168.77.3 snat to 203.0.113.5")
        server = UserAgent(net["server"], "bob")
        phones = {host: UserAgent(net[host], host) for host in ADDRESSES}
        contacts = {}
        for host, phone in phones.items():
            seen, _ = register(phone, server)
            contacts[host] = sip.uri_of(seen.message["Contact"])
            assert seen.source[0] == sip.endpoint_of(contacts[host])[0] == ADDRESSES[host], f"{host}: {seen.source}, {contacts[host]}"
        calls = [begin(net, server, phones[host], contacts[host], begun_outside)
                 for begun_outside in (False, True) for host in ADDRESSES]
        for call, inside, outside, offered, answered in calls:
            talk(inside, answered, outside, offered)
        for call, *_ in calls:
            call.hang_up(by=server)
        net.gateway.assert_media_closed()


def begin(net, server, phone, contact, begun_outside):
    """The phones use the same ports. Returns the call, each side's media, and where each is told to send."""
    host = phone.node.name
    port = 20010 if begun_outside else 20000
    inside, outside = Media(phone.node, port), Media(net["server"], port + (10000 if host == "phone1" else 10100))
    if begun_outside:
        call = Call(server, phone, to=sip.endpoint_of(contact), uri=contact, offer=outside.describe())
        call.establish(inside.describe())
        [answered], [offered] = sdp.streams(call.invite_seen.body), sdp.streams(call.ok_seen.body)
    else:
        call = Call(phone, server, to=server.endpoint, offer=inside.describe())
        call.establish(outside.describe())
        [offered], [answered] = sdp.streams(call.invite_seen.body), sdp.streams(call.ok_seen.body)
    assert offered.rtp == (ADDRESSES[host], port), f"{host} is said to be at {offered}"
    return call, inside, outside, offered, answered
