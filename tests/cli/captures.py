"""Packets and capture files, written and read by a few lines that share nothing with the programs."""
import ipaddress
import struct

ETHERNET, NULL, RAW, SLL, SLL2 = 1, 0, 101, 113, 276
_MACS = bytes.fromhex("020000000001020000000002")
_PPPOE = b"\x88\x64\x11\x00\x00\x01"
LINKS = {  # name: link type, header in front of IPv4, of IPv6
    "ethernet": (ETHERNET, _MACS + b"\x08\x00", _MACS + b"\x86\xdd"),
    "vlan": (ETHERNET, _MACS + b"\x81\x00\x00\x07\x08\x00", _MACS + b"\x81\x00\x00\x07\x86\xdd"),
    "pppoe": (ETHERNET, _MACS + _PPPOE + b"\0\0\0\x21", _MACS + _PPPOE + b"\0\0\0\x57"),
    "raw": (RAW, b"", b""),
    "sll": (SLL, bytes(14) + b"\x08\x00", bytes(14) + b"\x86\xdd"),
    "sll2": (SLL2, b"\x08\x00" + bytes(18), b"\x86\xdd" + bytes(18)),
    "loopback": (NULL, b"\x02\0\0\0", b"\x0a\0\0\0"),
}
UDP, TCP = 17, 6


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def _endpoint(text):
    host, _, port = text.rpartition(":")
    return ipaddress.ip_address(host.strip("[]")), int(port)


def _pseudo(source, destination, protocol, length):
    return source.packed + destination.packed + struct.pack(">HH", protocol, length)


def ip_packet(source, destination, protocol, segment, identification=7, fragment=0):
    """`fragment`: flags and offset in eights, as the IPv4 header has them."""
    if source.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(segment), protocol, 64) + source.packed + destination.packed + segment
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), identification, fragment, 64, protocol, 0)
    head += source.packed + destination.packed
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + segment


def _udp_segment(source, destination, payload):
    (host, port), (peer, peer_port) = source, destination
    length = 8 + len(payload)
    segment = struct.pack(">HHHH", port, peer_port, length, 0) + payload
    return segment[:6] + struct.pack(">H", checksum(_pseudo(host, peer, UDP, length) + segment)) + segment[8:]


def udp(source, destination, payload):
    source, destination = _endpoint(source), _endpoint(destination)
    return ip_packet(source[0], destination[0], UDP, _udp_segment(source, destination, payload))


def udp_fragments(source, destination, payload, size):
    """The IPv4 fragments, `size` bytes of data in each."""
    source, destination = _endpoint(source), _endpoint(destination)
    segment = _udp_segment(source, destination, payload)
    for at in range(0, len(segment), size):
        more = 0x2000 if at + size < len(segment) else 0
        yield ip_packet(source[0], destination[0], UDP, segment[at:at + size], 7, more | at // 8)


def tcp(source, destination, payload):
    (host, port), (peer, peer_port) = _endpoint(source), _endpoint(destination)
    segment = struct.pack(">HHIIBBHHH", port, peer_port, 1, 1, 0x50, 0x18, 512, 0, 0) + payload
    total = checksum(_pseudo(host, peer, TCP, len(segment)) + segment)
    return ip_packet(host, peer, TCP, segment[:16] + struct.pack(">H", total) + segment[18:])


def framed(packet, link="ethernet"):
    head = LINKS[link][2 if packet[0] >> 4 == 6 else 1]
    if link == "pppoe":  # says itself how much follows: the packet and the two bytes before it
        head = head[:-4] + struct.pack(">H", len(packet) + 2) + head[-2:]
    return head + packet


def pcap(frames, link="ethernet", nanoseconds=False, order="<"):
    """`frames`: (seconds, bytes) or (seconds, bytes, length on the wire)."""
    unit = 1_000_000_000 if nanoseconds else 1_000_000
    data = struct.pack(order + "IHHiIII", 0xa1b23c4d if nanoseconds else 0xa1b2c3d4, 2, 4, 0, 0, 262144, LINKS[link][0])
    for seconds, frame, *length in frames:
        whole, rest = divmod(round(seconds * unit), unit)
        data += struct.pack(order + "IIII", whole, rest, len(frame), *length or [len(frame)]) + frame
    return data


def pcapng(frames, link="ethernet"):
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))
    data = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1))
    data += block(1, struct.pack("<HHI", LINKS[link][0], 0, 262144))
    for seconds, frame in frames:
        stamp = round(seconds * 1_000_000)
        data += block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xffffffff, len(frame), len(frame)) + frame)
    return data


def read_pcap(data):
    """(seconds, frame) of a file with nanoseconds, and its link type."""
    magic, _, _, _, _, _, link = struct.unpack_from("<IHHiIII", data)
    assert magic == 0xa1b23c4d, hex(magic)
    frames, at = [], 24
    while at < len(data):
        seconds, rest, captured, _ = struct.unpack_from("<IIII", data, at)
        frames.append((seconds + rest / 1e9, data[at + 16:at + 16 + captured]))
        at += 16 + captured
    return frames, link


def read_udp(packet):
    """(source, destination, payload) of a packet whose lengths and checksums are right."""
    if packet[0] >> 4 == 6:
        size, length = 40, 40 + struct.unpack_from(">H", packet, 4)[0]
        hosts = [ipaddress.ip_address(packet[8:24]), ipaddress.ip_address(packet[24:40])]
        names = [f"[{host}]" for host in hosts]
    else:
        size, length = 20, struct.unpack_from(">H", packet, 2)[0]
        assert checksum(packet[:20]) == 0, "IPv4 checksum"
        hosts = [ipaddress.ip_address(packet[12:16]), ipaddress.ip_address(packet[16:20])]
        names = [str(host) for host in hosts]
    assert length == len(packet), "IP length"
    segment = packet[size:]
    port, peer_port, udp_length, _ = struct.unpack_from(">HHHH", segment)
    assert udp_length == len(segment), "UDP length"
    assert checksum(_pseudo(*hosts, UDP, udp_length) + segment) == 0, "UDP checksum"
    return f"{names[0]}:{port}", f"{names[1]}:{peer_port}", segment[8:]
