"""Two real phones in a call through a real proxy; each of them holds it in turn, and resumes.

    baresip alice 192.168.77.2 --- [gateway] ---+--- kamailio    203.0.113.10
                                                +--- baresip bob 203.0.113.11

Baresip's recording of what it hears ends with its first hold, so from then on the wire is listened to.
"""

from lab import sdp, sip
from lab.capture import Capture
from lab.phones import Baresip, Kamailio, wait_heard

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    with lab.network("phone1", "server", "outside") as net:
        Kamailio(net["server"])
        wires = {host: Capture(net[host]) for host in ("phone1", "outside")}
        alice = Baresip(net["phone1"], "alice", 440)
        bob = Baresip(net["outside"], "bob", 1000, rtp_ports="21000-21100")
        alice.wait_registered()
        bob.wait_registered()

        read = set()

        def described(phone, method, direction):
            """The stream in the next description that the phone reads, an offer or an answer; it has to have this direction."""
            message = phone.expect(lambda message: message.method == method and message.body and (phone, *key(message)) not in read,
                                   f"a description in {method}")
            read.add((phone, *key(message)))
            assert f"\r\na={direction}\r\n" in message.body.decode(), f"{phone} reads, instead of a={direction}:\n{message}"
            [stream] = sdp.streams(message.body)
            return stream

        alice.dial(bob.uri)
        told_bob = described(bob, "INVITE", "sendrecv")
        told_alice = described(alice, "INVITE", "sendrecv")
        hear_each_other(wires, alice, told_alice, bob, told_bob)
        for holder, held, told in ((alice, bob, told_bob), (bob, alice, told_alice)):
            holder.hold()
            assert described(held, "INVITE", "sendonly") == told
            described(holder, "INVITE", "recvonly")
            holder.resume()
            assert described(held, "INVITE", "sendrecv") == told
            described(holder, "INVITE", "sendrecv")
            hear_each_other(wires, alice, told_alice, bob, told_bob)

        alice.hang_up()
        alice.wait_idle()
        bob.wait_idle()
        net.gateway.assert_media_closed()


def key(message):
    """The same of a message that comes again."""
    return message.status, message["CSeq"], sip.parameter(message["Via"], "branch")


def hear_each_other(wires, alice, told_alice, bob, told_bob):
    """From now on, and each from where the other's description says."""
    wait_heard([wires["phone1"].ear(bob.hertz, told_alice.rtp), wires["outside"].ear(alice.hertz, told_bob.rtp)])
