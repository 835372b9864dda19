"""kill -9 in the middle of a call: the audio goes on without a gap, signalling passes as it is, and a new daemon
takes over: it ends the call's media when BYE comes."""

from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        call = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        call.talk()

        net.gateway.kill()
        call.talk()
        for host, user in (("phone1", phone), ("phone2", UserAgent(net["phone2"], "carol"))):
            options = user.request("OPTIONS", provider.identity)
            seen = user.deliver(options, provider.endpoint, provider)
            assert seen.raw == options.encode(), f"{host}'s OPTIONS was changed with nobody there:\n{seen.message}"

        net.gateway.start()
        call.talk()
        call.hang_up(by=phone)
        for media in call.media.values():
            for port in media.ports:
                numbers = port.collect().numbers
                assert numbers == list(range(1, len(numbers) + 1)), f"{port}: a gap in {numbers}"
        net.gateway.assert_media_closed()
