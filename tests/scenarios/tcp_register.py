"""Registrations over TCP: the server learns the phone's outside endpoint, and the phone reads its own text again.

One phone names the port of its connection in its Contact, as PJSIP does, the other one the port that it listens on, as baresip
does. Whoever is called over TCP is called over a connection to the Contact: over that which the phone opened, or over one to a
port of its own outside. A refresh over the same connection, one over the next, and a de-registration.
"""

from lab import sip
from lab.tcp import TcpAgent
from lab.ua import register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 120
ALONE = True
GATEWAY = "203.0.113.1"


def run(lab):
    with lab.network("phone1", "phone2", "server", firewall="restricted") as net:
        server = TcpAgent(net["server"], "server", listens=5060)
        for phone in (TcpAgent(net["phone1"], "alice"), TcpAgent(net["phone2"], "bob", listens=5062)):
            seen, contact = registration(phone, server, cseq=1)
            again, contact_again = registration(phone, server, cseq=2)
            assert again.source == seen.source and contact_again == contact, f"a refresh moved {contact} to {contact_again}"

            phone.connections[-1].close()
            server.connection(seen.source).wait_ended()
            phone.connect(server.endpoint)
            _, contact_anew = registration(phone, server, cseq=3)
            if phone.user == "bob":
                assert contact_anew == contact, f"over its next connection the Contact is {contact_anew} instead of {contact}"
            registration(phone, server, cseq=4, expires=0)


def registration(phone, server, cseq, expires=3600):
    """What the server saw, and the Contact in it."""
    seen, got = register(phone, server, cseq=cseq, expires=expires)
    sip.assert_translated(seen.message)
    contact = sip.endpoint_of(seen.message["Contact"])
    own_port = sip.endpoint_of(phone.contact) == phone.connections[-1].local
    assert (contact == seen.source) == own_port, f"the server sees Contact {contact}, from {seen.source}, and the phone is at {phone.contact}"
    assert seen.message["Contact"].endswith(";transport=tcp>"), seen.message["Contact"]
    assert sip.sent_by(seen.message["Via"])[0] == GATEWAY, f"the server sees Via {seen.message['Via']}"

    via, answered = got.message["Via"], got.message["Contact"]
    assert f"SIP/2.0/TCP {phone.via};" in via, f"the phone reads Via {via}"
    assert answered == f"<{phone.contact}>;expires={expires}", f"the phone reads Contact {answered}"
    return seen, contact
