"""A registration: the server learns the phone's outside endpoint, and the phone reads its own text again.

The server is to see the gateway's address in Contact and Via, or it could neither answer nor call. The phone compares
the Contact in the 200 with its own (RFC 3261 section 10.2.4) and the Via with its own (section 18.1.2): both have to
come back to the very text that it wrote.
"""

from lab import sip
from lab.ua import UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue"}
TIMEOUT = 120


def run(lab):
    with lab.network("phone1", "server") as net:
        phone = UserAgent(net["phone1"], "alice")
        server = UserAgent(net["server"], "server")
        seen, got = register(phone, server)

        assert sip.endpoint_of(seen.message["Contact"]) == seen.source, f"the server sees Contact {seen.message['Contact']}, from {seen.source}"
        assert sip.sent_by(seen.message["Via"]) == seen.source, f"the server sees Via {seen.message['Via']}, from {seen.source}"
        assert "192.168.77." not in str(seen.message), f"an inside address got out:\n{seen.message}"

        assert got.source == server.endpoint
        via, contact = got.message["Via"], got.message["Contact"]
        assert sip.sent_by(via) == phone.endpoint and "192.168.77.2:5060;" in via, f"the phone reads Via {via}"
        assert contact == f"<{phone.contact}>;expires=3600", f"the phone reads Contact {contact}"

        # The same again, a refresh: nothing may depend on being first.
        again, _ = register(phone, server, cseq=2)
        assert again.source == seen.source, "the refresh left from another port"
        assert sip.uri_of(again.message["Contact"]) == sip.uri_of(seen.message["Contact"])
