"""A phone registered before sipnatd was there: its flow has no helper, and expectations can't hang on it.

With its next call the flow's entry is made anew, with the same outside port, so that the registrar finds the phone where
it registered.
"""

from lab import sdp
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 120


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server") as net:
        net.gateway.stop()
        net.gateway.gateway.run("nft", "delete", "table", "inet", net.gateway.table)
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        phone.deliver(phone.request("OPTIONS", provider.identity), provider.endpoint, provider)
        [flow] = net.gateway.flows()
        assert "helper" not in flow.fields, f"the flow should be an ordinary one: {flow}"

        net.gateway.start()
        inside = Media(net["phone1"], 20000)
        outside = Media(net["server"], 30000)
        call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, inside.port))
        call.establish(sdp.audio(outside.address, outside.port))
        [offered] = sdp.streams(call.invite_seen.body)
        [answered] = sdp.streams(call.ok_seen.body)
        talk(inside, answered, outside, offered)
        [signalling] = [one for one in net.gateway.flows() if one.original.destination[1] == 5060]
        assert signalling.reply == flow.reply, f"the flow moved: {signalling}"
        call.hang_up(by=provider)
        net.gateway.assert_media_closed()
