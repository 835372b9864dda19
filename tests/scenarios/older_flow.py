"""A phone registered before sipnatd was there: its flow has no helper, and expectations can't hang on it.

With its next call the flow's entry is made anew, with the same outside port, so that the registrar finds the phone where
it registered.
"""

from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent

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
        call = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        call.talk()
        [signalling] = [one for one in net.gateway.flows() if one.original.destination[1] == 5060]
        assert signalling.reply == flow.reply, f"the flow moved: {signalling}"
        call.hang_up(by=provider)
        net.gateway.assert_media_closed()
