"""A phone that registers over TCP and names the port that it listens on: it gets a TCP port of its own outside, where its registrar
connects to it when it has a call for it.

    connects from  192.168.77.2:any  ─── 203.0.113.1:any      registers, and may be closed
    listens on     192.168.77.2:5062 ─── a port of its own outside, only for its registrar

Calls come in with sound while the first connection is open, when it has been closed, and after sipnatd was killed, over the
connection that was there and over another one. Nobody but the
registrar gets in, and when the registration is over nobody does.
"""

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.tcp import TcpAgent
from lab.ua import register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
ALONE = True


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", "outside", firewall="restricted") as net:
        phone = TcpAgent(net["phone1"], "alice", listens=5062)
        registrar = TcpAgent(net["server"], "bob", listens=5060)
        stranger = TcpAgent(net["outside"], "mallory")
        media = Media(net["phone1"], 20000), Media(net["server"], 30000)

        seen, got = register(phone, registrar)
        contact = sip.uri_of(seen.message["Contact"])
        host, port = sip.endpoint_of(contact)
        assert host == "203.0.113.1" and port != seen.source[1], f"the registrar reads Contact {contact}, from {seen.source}"
        assert contact.endswith(";transport=tcp"), contact
        assert sip.uri_of(got.message["Contact"]) == phone.contact, f"the phone reads Contact {got.message['Contact']}"
        assert not gets_in(stranger, (host, port)), "a stranger is connected to the phone"

        call_in(net.gateway, registrar, phone, media, contact, ends=registrar)
        registrar.connections[-1].close()
        phone.connections[-1].wait_ended()
        first = phone.connections[0]
        first.close()
        registrar.connection(seen.source).wait_ended()
        # Out, over a connection that the phone opens.
        call = AudioCall(phone, media[0], registrar, media[1])
        call.talk()
        call.hang_up(by=registrar)
        call_in(net.gateway, registrar, phone, media, contact, ends=phone)

        net.gateway.kill()
        net.gateway.release()
        net.gateway.start()
        opened = len(registrar.connections)
        call_in(net.gateway, registrar, phone, media, contact, ends=registrar)
        assert len(registrar.connections) == opened, "the connection that the registrar had is not used any more"
        for connection in phone.connections:
            connection.close()
        for connection in registrar.connections:
            connection.close()
        call_in(net.gateway, registrar, phone, media, contact, ends=registrar)
        assert not gets_in(stranger, (host, port)), "a stranger is connected to the phone"

        again, _ = register(phone, registrar, cseq=2)
        assert sip.uri_of(again.message["Contact"]) == contact, f"the refresh moved the Contact to {again.message['Contact']}"
        assert net.gateway.open_signalling(), "\n".join(net.gateway.state())
        register(phone, registrar, expires=0, cseq=3)
        wait_until(lambda: not net.gateway.open_signalling(), "the Contact's port to be closed", 90, state=net.gateway.state)
        for connection in registrar.connections:
            connection.close()
        assert not gets_in(registrar, (host, port)), "the phone's port outlives its registration"


def gets_in(agent, to):
    try:
        agent.connect(to)
    except AssertionError:
        return False
    return True


def call_in(gateway, registrar, phone, media, contact, ends):
    call = AudioCall(registrar, media[1], phone, media[0], to=sip.endpoint_of(contact), uri=contact)
    assert call.call.invite_seen.uri == phone.contact, f"the phone reads Request-URI {call.call.invite_seen.uri}"
    assert phone.connections[-1].local == phone.endpoint, f"the call came over {phone.connections[-1]}"
    sip.assert_translated(call.call.ok_seen)
    call.talk()
    call.hang_up(by=ends)
    gateway.assert_media_closed()
