"""One call before and after another gateway's ALG (Vyatta's dataplane), and after ours: what changes otherwise."""
import pathlib

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "differences.md"
PORT_NEEDED = "a URI without a port means 5060, and the host is reached at 1024 only (RFC 3261 19.1.2)"
PORT_CHOSEN = "which port is free is each gateway's own affair; in the range, a phone keeps its own"
# (pair, message, place): why ours is right. One that no longer differs is a fault, as is a difference without a reason.
REASONS = {
    ("snat", "0-fwd", "Contact"): PORT_NEEDED,
    ("snat", "0-fwd", "Record-Route"): PORT_NEEDED,
    ("snat", "0-fwd", "SDP m="): PORT_CHOSEN,
    ("snat", "0-fwd", "Content-Length"): "follows the length of the port's digits",
    ("snat", "4-back", "Request-URI"): "the peer of ours has read a Contact with port 1024; port 5060 is nobody's",
    ("dnat", "2-back", "SDP o="): "an inside address is of no use outside, and tells what is behind the gateway",
    ("dnat", "2-back", "SDP m="): PORT_CHOSEN,
    ("dnat", "2-back", "Content-Length"): "follows the length of o= and of the port's digits",
    ("dnat", "4-back", "Via"): "answers go where the Via says, unless everybody obeys rport (RFC 3261 18.2.2)",
    ("dnat", "4-back", "From"): "the same URI as the To of the answers, which both translate: an RFC 2543 peer compares it",
}
HEAD = """# Where another gateway's ALG does otherwise

The tests of the Vyatta dataplane hold one call before and after its SIP ALG, behind source NAT (1.1.1.2:5060 leaves as
30.30.30.2:1024) and behind a port forward (1.1.1.22:5060 is 22.22.22.2:5060). `tests/corpus` compares the lines that
change; these are all that differ. Generated: `tests/corpus/corpus_test.py CORPUS --differences docs/differences.md`.

| message | place | before | theirs | ours | why |
|---|---|---|---|---|---|
"""


def place_of(line, number, in_body):
    if in_body:
        return f"SDP {line[:2]}"
    return "Request-URI" if number == 0 else line.partition(":")[0].title()


class Comparison:
    def __init__(self):
        self.rows = []
        self.faults = []
        self.seen = set()

    def message(self, pair, name, before, theirs, ours, not_yet):
        lines = [text.splitlines() for text in (before, theirs, ours)]
        if len({len(text) for text in lines}) != 1:
            self.faults.append(f"nat-pairs {pair} {name}: lines came or went")
            return
        in_body = False
        for number, (was, their, our) in enumerate(zip(*lines)):
            in_body |= not was
            place = place_of(was, number, in_body)
            if their == our or (our == was and place in not_yet):
                continue
            key = (pair, name, place)
            self.seen.add(key)
            if key not in REASONS:
                self.faults.append(f"nat-pairs {pair} {name}: {place}: {their!r}, and ours {our!r}")
            self.rows.append((f"{pair} {name}", place, f"`{was}`", their if their == was else f"`{their}`",
                              our if our == was else f"`{our}`", REASONS.get(key, "")))

    def document(self):
        def cell(row, i):
            return "as before" if i in (3, 4) and not row[i].startswith("`") else row[i]
        return HEAD + "".join("| " + " | ".join(cell(row, i) for i in range(6)) + " |\n" for row in self.rows)

    def violations(self, not_yet):
        stale = [f"nat-pairs {' '.join(key)}: has a reason, and does not differ" for key in REASONS
                 if key not in self.seen and key[2] not in not_yet]
        written = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.is_file() else ""
        if written != self.document():
            stale.append("docs/differences.md is not what it says: generate it again")
        return self.faults + stale


def compare(folder, engine, flow, not_yet):
    comparison = Comparison()
    ways = {"snat": flow(("1.1.1.2", 5060), ("22.22.22.2", 5060), snat=("30.30.30.2", 1024)),
            "dnat": flow(("1.1.1.2", 5060), ("1.1.1.22", 5060), dnat=("22.22.22.2", 5060))}
    for pair, way in ways.items():
        engine.reset()
        for path in sorted((folder / f"sipd1_pre_{pair}").iterdir()):
            before, theirs = (file.read_bytes().decode("latin-1")
                              for file in (path, folder / f"sipd1_post_{pair}" / path.name))
            outcome = engine.send(way, before, back=path.stem.endswith("back"))
            comparison.message(pair, path.stem, before, theirs, outcome["text"], not_yet)
    if not comparison.rows:
        comparison.faults.append("nat-pairs: no messages")
    return comparison
