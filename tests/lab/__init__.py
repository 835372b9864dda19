"""What the scenarios are made of: network namespaces, gateways, SIP and RTP endpoints, and real phones.

A scenario is one process that holds sockets in several network namespaces, so it reads as a straight script: the phone
sends, the server receives, compare, reply. Nothing waits for time to pass; every wait is for a condition with a deadline.

    scenario    loads one scenario file and runs it: needs, time limit, work folder
    topology    the hosts, the networks, NAT and firewall
    gateway     what runs in the gateway (nothing, the kernel's SIP helper, sipnatd), conntrack's state
    sip, sdp    messages with every byte under the scenario's control
    ua          user agents, calls, a relaying server
    tcp         the same over TCP
    translation what has to arrive of a stream of messages
    segments    a TCP end that decides on every segment by itself
    rtp         counted media
    audio       a call together with its media
    local       two phones inside that meet at a server outside
    phones      baresip, linphone and kamailio
    transfer    REFER and Replaces
    tone        what a phone hears of another
    capture     the same, on the wire

Standard library of Debian 12's python3 only.
"""
