"""A PBX in the LAN with a thousand calls at once, all of their signalling on one UDP flow: none loses its ports to another.

    192.168.77.2:5060 ---- one flow ---- 203.0.113.10:5060

Where an expectation policy has a maximum, the kernel gives up a flow's oldest expectation for the next one and tells nobody.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
CALLS = 1000


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", config=f'[limits]\ndialogs = "{CALLS}/20000"\n') as net:
        pbx, provider = UserAgent(net["phone1"], "pbx"), UserAgent(net["server"], "provider")
        contact = sip.uri_of(register(pbx, provider)[0].message["Contact"])
        calls = [established(pbx, provider, contact, number) for number in range(CALLS)]
        [flow] = [flow for flow in net.gateway.flows() if flow.original.destination[1] == 5060]

        told = [endpoint for call in calls for endpoint in described(call, pbx).components]
        assert len(set(told)) == 2 * CALLS, f"{2 * CALLS - len(set(told))} outside endpoints were given away twice"
        assert net.gateway.open_ports() == sorted(told), f"not open: {sorted(set(told) - set(net.gateway.open_ports()))}"
        lab.log(f"{len(net.gateway.expectations())} expectations, {len(net.gateway.open_media())} entries for media, flow {flow}")

        for number in (0, 1, CALLS // 2, CALLS // 2 + 1, CALLS - 2, CALLS - 1):
            converse(calls[number], pbx, provider, number)
        for number, call in enumerate(calls):
            call.hang_up(by=provider if number % 3 else pbx)
        net.gateway.assert_media_closed()


def established(pbx, provider, contact, number):
    """By turns the PBX's and the provider's."""
    inside, outside = (sdp.audio(agent.endpoint[0], port_of(agent, number)) for agent in (pbx, provider))
    if number % 2:
        return Call(provider, pbx, to=sip.endpoint_of(contact), uri=contact, offer=outside).establish(inside, provisional=())
    return Call(pbx, provider, to=provider.endpoint, offer=inside).establish(outside, provisional=())


def port_of(agent, number):
    return {"pbx": 10000, "provider": 30000}[agent.user] + 2 * number


def described(call, agent):
    """What the other side reads of this one's media."""
    [stream] = sdp.streams(call.invite_seen.body if agent is call.caller else call.ok_seen.body)
    return stream


def converse(call, pbx, provider, number):
    """The PBX has the first word in half of its calls, and in half of the provider's."""
    sides = [(Media(agent.node, port_of(agent, number)), described(call, call.other(agent))) for agent in (pbx, provider)]
    (first, first_to), (second, second_to) = reversed(sides) if number % 4 in (1, 2) else sides
    talk(first, first_to, second, second_to)
