#!/usr/bin/python3
"""Every message of the corpus through the engine, behind source NAT, behind a port forward, and without NAT.

    corpus_test.py CORPUS [--differences FILE]      exit 1 on any violation, 77 when CORPUS is not there

Prints a table of what became of the messages, what libosip2 reads differently, and each violation with its message.
--differences writes what our output for nat-pairs changes otherwise than the gateway's that they come from.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys

import nat_pairs
import oracle

SKIPPED = 77
BIN = pathlib.Path(os.environ["SIPNAT_BIN_DIR"])
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
# What of the table the engine does not do yet, and why. A place that no message shows any more is a violation, too.
NOT_YET = {}
SHOWN, SERVER, HOST = ("198.18.7.1", 1024), ("198.18.9.9", 5060), ("198.18.3.5", 5070)
SHOWN6, SERVER6, HOST6 = ("2001:2:7::1", 1024), ("2001:2:9::9", 5060), ("2001:2:3::5", 5070)
OURS = ("198.18.", "2001:2:")


def endpoint(pair):
    parsed = oracle.address(str(pair[0]))
    return f"{oracle.host_text(parsed)}:{pair[1]}"


class Engine:
    """The driver; one that dies is started again, and the message that it died of is a violation."""

    def __init__(self):
        self.path = BIN / "corpus_engine"
        self.process = None

    def _order(self, order):
        if self.process is None:
            self.process = subprocess.Popen([self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, text=True)
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = "{}" if "reset" in order else self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            fault = self.process.communicate()[1]
            self.process = None
            raise RuntimeError(fault[-3000:])
        return json.loads(line)

    def reset(self):
        self._order({"reset": True})

    def send(self, flow, text, back=False):
        answer = self._order({**flow, "back": back, "message": text.encode("latin-1").hex()})
        answer["text"] = bytes.fromhex(answer.pop("message")).decode("latin-1")
        return answer


def flow(src, dst, snat=None, dnat=None):
    """The opener's endpoints, as `sipnatctl rewrite` takes them."""
    return {"src": endpoint(src), "dst": endpoint(dst), "snat": endpoint(snat or src), "dnat": endpoint(dnat or dst)}


class Corpus:
    def __init__(self, root):
        self.root = root
        self.engine = Engine()
        self.rows = collections.defaultdict(collections.Counter)
        self.violations = []
        self.not_yet = collections.Counter()
        self.refused = []
        self.tried = collections.Counter()  # places that had to change
        self.quoted = 0  # messages that were answered or asked back
        self.unread = collections.Counter()

    def report(self, name, setting, kind, place, text):
        base = place.removeprefix("another part's ")
        if kind in ("left", "wrong", "not back") and base in NOT_YET:
            self.not_yet[base] += 1
        else:
            self.violations.append(f"{name} [{setting}]: {kind} {place}: {text}".replace("\n", "\\n"))

    def run(self, name, text):
        """The message as found, and what has to be changed in it for its places to be tried."""
        self.run_one(name, name.rpartition("/")[0], text)
        for what, variant in variants(text):
            self.run_one(f"{name}, {what}", f"{name.rpartition('/')[0]}, {what}", variant)

    def run_one(self, name, source, text):
        row = self.rows[source]
        row["messages"] += 1
        try:
            fates = list(self.settings(name, text))
        except RuntimeError as crash:
            self.violations.append(f"{name}: the engine died\n{crash}")
            return
        row["stricter"] += any(fate == "stricter" for fate in fates)
        fates = [fate for fate in fates if fate != "stricter"]
        row[next((fate for fate in ("second_opinion", "malformed", "rewritten") if fate in fates), "untouched")] += 1

    # --- settings ----------------------------------------------------------------------------------------------------

    def settings(self, name, text):
        """What became of it in each; "stricter" besides, when libosip2 could not read it."""
        try:
            message = oracle.Message(text)
            owners = oracle.candidates(message)
        except (ValueError, IndexError):
            message, owners = None, []
        if any(ours in text for ours in OURS):
            raise AssertionError(f"{name} holds an address that the test takes for unused")
        yield from self.plain(name, text)
        seen = set()
        for _, parsed, port in owners:
            if (parsed, port) in seen:
                continue
            seen.add((parsed, port))
            yield from self.source_nat(name, text, message, (parsed, port))
        for parsed, port in sorted(seen | set(oracle.targets(message) if message else ()), key=str):
            yield from self.destination_nat(name, text, message, (parsed, port))
        if not owners:  # nothing in it is anybody's: nothing may change
            yield from self.unconcerned(name, text)

    def check(self, name, setting, outcome):
        if outcome["verdict"] != "accept":
            self.report(name, setting, "verdict", "", outcome["verdict"])
        if outcome["reason"] == "second_opinion":
            self.refused.append(f"{name} [{setting}]: {outcome['detail']}")
        if outcome["stricter"]:
            yield "stricter"
        yield outcome["reason"]

    def plain(self, name, text):
        self.engine.reset()
        outcome = self.engine.send(flow(("198.18.3.5", 5060), SERVER), text)
        if outcome["text"] != text:
            self.report(name, "plain", "changed", "", oracle.difference(text, outcome["text"]))
        yield from self.check(name, "plain", outcome)

    def unconcerned(self, name, text):
        for setting, way in (("source NAT", flow(HOST, SERVER, snat=SHOWN)),
                             ("destination NAT", flow(SERVER, SHOWN, dnat=HOST))):
            self.engine.reset()
            outcome = self.engine.send(way, text)
            if outcome["text"] != text:
                self.report(name, setting, "changed", "", oracle.difference(text, outcome["text"]))
            yield from self.check(name, setting, outcome)

    def source_nat(self, name, text, message, inside):
        """The sender is what the message itself names, as seen from SHOWN."""
        six = inside[0].version == 6
        outside, server = (SHOWN6, SERVER6) if six else (SHOWN, SERVER)
        outside = (oracle.address(outside[0]), outside[1])
        setting = f"source NAT of {endpoint(inside)}"
        way = flow(inside, server, snat=outside)
        self.engine.reset()
        outcome = self.engine.send(way, text)
        self.judge(name, setting, message, outcome, inside, outside, True)
        if outcome["reason"] in ("rewritten", "unchanged"):
            self.there_and_back(name, setting, way, message, outcome["text"])
        yield from self.check(name, setting, outcome)

    def destination_nat(self, name, text, message, shown):
        """The receiver is what the message names, and really another host."""
        six = shown[0].version == 6
        host, server = (HOST6, SERVER6) if six else (HOST, SERVER)
        host = (oracle.address(host[0]), host[1])
        setting = f"destination NAT of {endpoint(shown)}"
        way = flow(server, shown, dnat=host)
        self.engine.reset()
        outcome = self.engine.send(way, text)
        self.judge(name, setting, message, outcome, shown, host, False)
        if message.is_request and outcome["reason"] in ("rewritten", "unchanged"):
            self.answer(name, setting, way, message, oracle.Message(outcome["text"]))
        yield from self.check(name, setting, outcome)

    # --- judging -----------------------------------------------------------------------------------------------------

    def judge(self, name, setting, message, outcome, old, new, outwards):
        text, after = message.text, outcome["text"]
        if outcome["reason"] in ("malformed", "second_opinion", "not_sip", "keepalive"):
            if after != text:
                self.report(name, setting, "changed", "", f"although {outcome['reason']}")
            return
        spans = oracle.expected(message, old, new, outwards)
        if outcome["reason"] == "malformed_sdp":
            spans = [span for span in spans if span.offset < message.body_offset and span.place != "Content-Length"]
        elif outcome["reason"] not in ("rewritten", "unchanged"):
            self.report(name, setting, "reason", "", f"{outcome['reason']} {outcome['detail']}")
            return
        self.tried.update(span.place for span in spans if span.must)
        for kind, place, what in oracle.judge(text, after, spans):
            self.report(name, setting, kind, place, what)
        self.check_length(name, setting, message, after)

    def check_length(self, name, setting, message, after):
        if after == message.text:
            return
        changed = oracle.Message(after)
        rest = len(message.text) - message.body_offset - len(message.body)
        for header in changed.values("content-length"):
            if int(header.value) != len(after) - changed.body_offset - rest:
                self.report(name, setting, "Content-Length", "", f"is {header.value} for {len(changed.body)} bytes")

    def there_and_back(self, name, setting, way, message, sent):
        """The peer answers, and asks in turn; what quotes the sender reads as the sender wrote it."""
        arrived = oracle.Message(sent)
        if message.is_request:
            same = {"INVITE": ["record-route"], "REGISTER": ["contact", "path"]}.get(message.method, [])
            self.answer(name, setting, way, message, arrived, same)
        contact = [header for header in arrived.values("contact") if header.value != "*"]
        own_contact = [header for header in message.values("contact") if header.value != "*"]
        hosts = list(oracle.uris(contact[0].value, 0))[:1] if contact else []
        if not hosts or message.method == "REGISTER":
            return
        # The peer's request in the same dialog: who had sent is its receiver.
        own, peer = ("from", "to") if message.is_request else ("to", "from")
        target, own_target = uri_of(contact[0].value), uri_of(own_contact[0].value)
        if not target or " " in target or not arrived.value("call-id"):
            return
        request = (f"OPTIONS {target} SIP/2.0\r\nVia: SIP/2.0/UDP peer.invalid;branch=z9hG4bKback\r\n"
                   f"From: {arrived.value(peer)}\r\nTo: {arrived.value(own)}\r\nCall-ID: {arrived.value('call-id')}\r\n"
                   "CSeq: 999999 OPTIONS\r\nContent-Length: 0\r\n\r\n")
        self.expect_own_words(name, f"{setting}, asked", way, request, {"to": (message, own)}, own_target)

    def answer(self, name, setting, way, message, arrived, more=()):
        """The receiver's answer quotes the request as it arrived; the sender reads its own words."""
        same = ["via", "from", "to", "call-id", "cseq", *more]
        answer = "SIP/2.0 200 OK\r\n" + quoted(arrived, same) + "Content-Length: 0\r\n\r\n"
        self.expect_own_words(name, f"{setting}, answered", way, answer, {one: (message, one) for one in same})

    def expect_own_words(self, name, setting, way, text, same, target=None):
        outcome = self.engine.send(way, text, back=True)
        if outcome["reason"] not in ("rewritten", "unchanged"):
            self.unread[outcome["reason"]] += 1  # the quoted headers alone are no message, or too odd
            return
        self.quoted += 1
        back = oracle.Message(outcome["text"])
        for field, (message, origin) in same.items():
            ours = [header.value for header in message.values(origin)]
            theirs = [header.value for header in back.values(field)]
            for mine, returned in zip(ours, theirs):
                # How the peer spelt our outside address is remembered by nobody: of IPv6, the canonical text returns.
                if mine != returned and not ("destination" in setting and oracle.canonical(mine) == returned):
                    place = {**oracle.ROUTABLE, **oracle.IDENTITY}.get(field, field.title())
                    if field == "via" and not re.search(r";\s*branch\s*=\s*[^;,\s]", mine, re.I):
                        place = "Via without a branch"
                    self.report(name, setting, "not back", place, f"{mine} -> {returned}")
        if target is not None and back.start.split(" ")[1] != target:
            self.report(name, setting, "not back", "Request-URI", f"{target} -> {back.start}")

    # --- all of it ---------------------------------------------------------------------------------------------------

    def read_all(self):
        for path in sorted(self.root.glob("sip/**/*")):
            if path.is_file():
                self.run(str(path.relative_to(self.root)), path.read_bytes().decode("latin-1"))
        for path in sorted(self.root.glob("nat-pairs/**/*")):
            if path.is_file():
                self.run(str(path.relative_to(self.root)), path.read_bytes().decode("latin-1"))
        for path in sorted(self.root.glob("sdp/**/*")):
            if path.is_file():
                self.run(str(path.relative_to(self.root)), in_a_message(path.read_bytes().decode("latin-1")))

    def replay_captures(self):
        """Captures through the program itself: read to their end, one object for each packet on a SIP port."""
        for path in sorted(self.root.glob("pcap/*.pcap")):
            name = str(path.relative_to(self.root))
            nat = [word for net in PRIVATE for word in ("--nat", f"{net}={SHOWN[0]}")]
            done = subprocess.run([BIN / "sipnatctl", "replay", path, *nat, "--json"], capture_output=True, check=False)
            packets = [json.loads(line) for line in done.stdout.splitlines()]
            packets = [packet for packet in packets if "packet" in packet]
            if done.returncode != 0 or done.stderr or any(packet["verdict"] != "accept" for packet in packets):
                self.violations.append(f"{name}: replay: exit {done.returncode}, {done.stderr.decode()}")
            row = self.rows["pcap"]
            for packet in packets:
                row["messages"] += 1
                fate = packet["reason"]
                row[fate if fate in ("rewritten", "malformed", "second_opinion") else "untouched"] += 1

    def print_table(self):
        columns = ("messages", "rewritten", "untouched", "malformed", "second_opinion", "stricter")
        titles = ("messages", "edited", "untouched", "malformed", "refused", "stricter")
        print(f"{'source':42}" + "".join(f"{title:>11}" for title in titles))
        total = collections.Counter()
        for source, row in sorted(self.rows.items()):
            print(f"{source:42}" + "".join(f"{row[column]:>11}" for column in columns))
            total.update(row)
        print(f"{'all':42}" + "".join(f"{total[column]:>11}" for column in columns))
        print("refused: the second opinion read another value, nothing edited or opened; "
              "stricter: it could not read what it was asked about, and ours stood alone")
        print("tried: " + ", ".join(f"{place} {count}" for place, count in sorted(self.tried.items())))
        print(f"there and back: {self.quoted}, not read: {dict(self.unread)}")
        for line in self.refused:
            print(f"second opinion: {line}")
        for place, count in sorted(self.not_yet.items()):
            print(f"not yet: {place}: {NOT_YET[place]} ({count})")


def variants(text):
    """Files that lack the empty line behind the headers, with it; sender and receiver
    with addresses in the place of their names."""
    try:
        message = oracle.Message(text)
    except ValueError:
        if "SIP/" in text:
            yield "ended", text.rstrip("\r\n") + "\r\n\r\n"
        return
    for name, parsed in zip(oracle.names(message), ("192.168.77.2", "192.168.77.3")):
        if name:
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", parsed, text)
    if text == message.text:
        return
    changed = oracle.Message(text)
    if message.value("content-length") == str(len(message.body)):
        rest = len(message.text) - message.body_offset - len(message.body)
        size = len(text) - changed.body_offset - rest
        for header in changed.values("content-length"):
            text = text[:header.offset] + str(size) + text[header.offset + len(header.value):]
    yield "by address", text


def quoted(message, names):
    return "".join(f"{field}: {header.value}\r\n" for field in names for header in message.values(field))


def uri_of(value):
    plain = oracle.blank_quotes(value)
    if "<" in plain:
        return value[plain.index("<") + 1:plain.index(">")].strip() if ">" in plain else None
    return plain.partition(";")[0].partition(",")[0].strip()


def in_a_message(body):
    """An INVITE of the host that the session names; of an inside one where it names none."""
    found = re.search(r"^c=IN IP[46] ([^\s/]+)", body, re.M)
    parsed = oracle.address(found[1]) if found else None
    usable = parsed and not (parsed.is_unspecified or parsed.is_multicast)
    host = oracle.host_text(parsed) if usable else "192.168.77.2"
    return (f"INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch=z9hG4bKsdp\r\n"
            f"From: <sip:alice@{host}>;tag=a\r\nTo: <sip:bob@example.org>\r\nCall-ID: sdp\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:alice@{host}>\r\nContent-Type: application/sdp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("--differences", type=pathlib.Path)
    options = parser.parse_args()
    root = pathlib.Path(os.environ.get("SIPNAT_CORPUS") or options.corpus)
    if not (root / "README.md").is_file():
        print(f"skipped: no corpus at {root} (-DSIPNAT_CORPUS=… or the environment names another place)")
        return SKIPPED
    corpus = Corpus(root)
    corpus.read_all()
    corpus.replay_captures()
    corpus.print_table()
    pairs = nat_pairs.compare(root / "nat-pairs", corpus.engine, flow, NOT_YET)
    if options.differences:
        options.differences.write_text(pairs.document(), encoding="utf-8")
    violations = corpus.violations + pairs.violations(NOT_YET)
    violations += [f"{place} is listed as not yet there, and is: take it off the list"
                   for place in NOT_YET if not corpus.not_yet[place]]
    for line in violations:
        print(f"VIOLATION {line}")
    print(f"{len(violations)} violations")
    return 1 if violations or not corpus.rows else 0


if __name__ == "__main__":
    sys.exit(main())
