"""A day passes without signalling, in calls that are still up: the one whose media conntrack counted goes on, the other
ends and its media is closed. The day is a daemon with its clock ahead, which finds both calls in its state file.
"""

from lab import sdp
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import Call, UserAgent
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
DAY = 25 * 3600


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server") as net:
        provider = UserAgent(net["server"], "bob")
        talks = UserAgent(net["phone1"], "alice")
        call = AudioCall(talks, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        call.talk()
        silent = UserAgent(net["phone2"], "carol")
        other = Call(silent, provider, to=provider.endpoint, offer=sdp.audio(silent.endpoint[0], 22000))
        other.establish(sdp.audio(provider.endpoint[0], 32000))
        both = len(net.gateway.open_media())

        net.gateway.kill()
        net.gateway.start(clock_ahead=DAY)
        wait_until(lambda: len(net.gateway.open_media()) == both // 2, "the silent call's media to be closed",
                   state=net.gateway.state)
        again = Media(net["server"], 34000)
        again.send(call.told[provider])  # a new flow, which only an open port lets in
        wait_until(lambda: again.rtp.endpoint in call.media[talks].rtp.collect().sources, "media of a new flow", state=net.gateway.state)
        call.talk()

        net.gateway.kill()
        net.gateway.start()
        call.hang_up(by=talks)
        net.gateway.assert_media_closed()
