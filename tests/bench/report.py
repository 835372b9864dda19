#!/usr/bin/python3
"""Makes the tables (Markdown) and the plot (SVG) out of what measure.py left.

    report.py RESULTS.json [--markdown FILE] [--plot FILE]

All figures are medians over the rounds, with the smallest and the largest behind them. "Beyond" is a difference between
two arms in the same round, so what disturbed a whole round is in neither.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Callable, Iterable

ARMS = ("direct", "plain", "accept", "kernel", "sipnat", "flowtable")
WORKLOADS = {
    "invite": "call: INVITE, 200, ACK, BYE, 200",
    "register": "REGISTER, 200",
    "options": "OPTIONS, 200",
    "untouched": "OPTIONS with names only, 200",
}
STAGES = ("decode", "index", "session", "second opinion", "engine alone", "engine", "journal", "encode", "stream")


class Figure:
    """Values of one thing, one for each round."""

    def __init__(self, values: Iterable[float]) -> None:
        self.values = list(values)

    def __bool__(self) -> bool:
        return bool(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def text(self, form: str = ",.1f") -> str:
        if not self.values:
            return "–"
        return f"{self.median:{form}} ({min(self.values):{form}} … {max(self.values):{form}})"


def accounted(one: dict) -> float:
    """Seconds of CPU for the messages: the generator, the gateway's program, the kernel's threads."""
    return sum(one["cpu"][name] for name in ("generator", "daemon", "softirq"))


def count_of(one: dict) -> int:
    return one["messages"] if "messages" in one else one["packets"]


def micros(one: dict) -> float:
    """CPU per message or packet."""
    return accounted(one) / count_of(one) * 1e6


class Results:
    """What was measured, by arm and round."""

    def __init__(self, data: dict) -> None:
        self.data = data
        self.signalling = [one for one in data["signalling"] if one["round"] > 0 and "fault" not in one and one["messages"]]
        self.media = [one for one in data["media"] if "fault" not in one and one["packets"]]
        self.arms = [arm for arm in ARMS if any(one["arm"] == arm for one in self.signalling + self.media)]

    def of(self, arm: str, **wanted: object) -> dict[int, dict]:
        """Round → measurement."""
        source = self.media if "calls" in wanted else self.signalling
        return {one["round"]: one for one in source if one["arm"] == arm and all(one[key] == value for key, value in wanted.items())}

    def figure(self, value: Callable[[dict], float], arm: str, **wanted: object) -> Figure:
        return Figure(value(one) for one in self.of(arm, **wanted).values())

    def beyond(self, value: Callable[[dict], float], arm: str, other: str, **wanted: object) -> Figure:
        base = self.of(other, **wanted)
        return Figure(value(one) - value(base[number]) for number, one in self.of(arm, **wanted).items() if number in base)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["--:"] * (len(head) - 1)) + "|",
            *("| " + " | ".join(row) + " |" for row in rows), ""]


def markdown(results: Results) -> str:
    data = results.data
    machine = data["machine"]
    emulated = ", emulated" if data["emulated"] else ""
    busy = "" if data["emulated"] else f" Other programs had {foreign(results):.0%} of the processors meanwhile."
    lines = [f"Linux {machine['kernel']}, {machine['processors']} processors{emulated}. {data['rounds']} rounds, "
             f"{data['phones']} phones; medians, with the smallest and the largest.{busy}", ""]
    for arm, why in data["absent"].items():
        lines += [f"Not measured: `{arm}` ({why}).", ""]
    for arm, why in data["faults"].items():
        lines += [f"**Broken: `{arm}`**: {why.splitlines()[0]}", ""]
    for part in (saturation, latency, media, budget, lengths, shapes, growth, goals):
        lines += part(results)
    return "\n".join(lines).rstrip() + "\n"


def foreign(results: Results) -> float:
    everything = results.signalling + results.media
    capacity = sum(one["seconds"] for one in everything) * results.data["machine"]["processors"]
    other = sum(max(0.0, one["cpu"]["busy"] + one["cpu"]["steal"] - accounted(one)) for one in everything)
    return other / capacity if capacity else 0.0


def saturation(results: Results) -> list[str]:
    lines = ["### Signalling at saturation", ""]
    for workload, title in WORKLOADS.items():
        rows = []
        for arm in results.arms:
            where = {"kind": "saturation", "workload": workload}
            rate = results.figure(lambda one: count_of(one) / one["seconds"], arm, **where)
            if not rate:
                continue
            rows.append([f"`{arm}`", rate.text(",.0f"), results.figure(micros, arm, **where).text(),
                         results.figure(lambda one: one["cpu"]["daemon"] / count_of(one) * 1e6, arm, **where).text(),
                         results.beyond(micros, arm, "direct", **where).text() if arm != "direct" else "",
                         results.beyond(micros, arm, "accept", **where).text() if arm in ("kernel", "sipnat") else "",
                         faults(results.of(arm, **where))])
        lines += [f"**{title}**", ""] + table(["arm", "messages/s", "CPU, µs a message", "of that its program", "beyond `direct`",
                                               "beyond `accept`", "lost, wrong"], rows)
    return lines


def faults(rounds: dict[int, dict]) -> str:
    lost = sum(one["lost"] for one in rounds.values())
    wrong = sum(one["wrong"] for one in rounds.values())
    return f"{lost}, **{wrong}**" if wrong else f"{lost}, 0"


def latency(results: Results) -> list[str]:
    rows = []
    for workload in WORKLOADS:
        for arm in results.arms:
            where = {"kind": "half load", "workload": workload}
            rounds = {number: one for number, one in results.of(arm, **where).items() if one["latency"]}
            if not rounds:
                continue
            each = next(iter(rounds.values()))
            cells = [f"{each['rate'] * each['messages_per_cycle']:,.0f}"]
            for name in ("p50", "p99", "p99.9"):
                value = lambda one, name=name: one["latency"].get(name, 0.0)  # noqa: E731
                cells.append(results.figure(value, arm, **where).text())
            added = results.beyond(lambda one: one["latency"]["p99"], arm, "plain", **where)
            rows.append([f"{workload}, `{arm}`", *cells, added.text() if arm not in ("direct", "plain") else "", faults(rounds)])
    if not rows:
        return []
    return ["### Latency at half load", "", "Microseconds that a message is on its way, from the send call to the other side's "
            "receive time stamp, at half of what the slowest arm carries.", ""] + table(
                ["workload, arm", "messages/s", "p50", "p99", "p99.9", "p99 beyond `plain`", "lost, wrong"], rows)


def media(results: Results) -> list[str]:
    rows = []
    for calls in sorted({one["calls"] for one in results.media}):
        for arm in results.arms:
            rounds = results.of(arm, calls=calls)
            if not rounds:
                continue
            share = lambda one: accounted(one) / one["seconds"] / one["calls"] * 100  # noqa: E731
            rows.append([f"{calls} calls, `{arm}`", results.figure(lambda one: one["packets"] / one["seconds"], arm, calls=calls).text(",.0f"),
                         results.figure(share, arm, calls=calls).text(".3f"), results.figure(micros, arm, calls=calls).text(".2f"),
                         results.beyond(micros, arm, "plain", calls=calls).text(".2f") if arm not in ("direct", "plain") else "",
                         results.figure(lambda one: one["latency"].get("p50", 0.0), arm, calls=calls).text(),
                         results.figure(lambda one: one["latency"].get("p99", 0.0), arm, calls=calls).text(), faults(rounds)])
    if not rows:
        return []
    return ["### Media", "", "G.711, 50 packets a second and direction; the CPU figures include the generator.", ""] + table(
        ["calls, arm", "packets/s", "CPU of one processor a call, %", "CPU, µs a packet", "beyond `plain`", "latency p50, µs", "p99, µs",
         "lost, wrong"], rows)


def engine_rows(results: Results) -> dict[str, dict[str, dict]]:
    """Message → stage → figures."""
    rows: dict[str, dict[str, dict]] = {}

    def order(one: dict) -> tuple:
        """The longest message first, then the shortest length, then the shapes."""
        kind = 2 if one["name"].startswith("shape ") else 1 if one["name"].startswith("length ") else 0
        return kind, (-one["bytes"], one["bytes"], 0)[kind]

    for one in sorted(results.data["engine"], key=order):
        message, stage = one["name"].rsplit("/", 1)
        rows.setdefault(message, {})[stage] = one
    return rows


def budget(results: Results) -> list[str]:
    rows = []
    for message, stages in engine_rows(results).items():
        if message.startswith(("length ", "shape ")):
            continue
        each = next(iter(stages.values()))
        cells = [f"{stages[stage]['median']:,.0f}" if stage in stages else "" for stage in STAGES]
        rows.append([f"{message}, {each['bytes']:.0f} bytes", *cells, f"{stages.get('engine', each)['allocations']:.0f}"])
    if not rows:
        return []
    return ["### The engine's budget", "", "Nanoseconds of CPU a message. `engine` is all of handle() and settle(): index, session and second "
            "opinion are in it, the last of these not in `engine alone`. `journal` is the line of the state file, `stream` what comes on top of all over TCP, without the kernel's part. Allocations are the engine's (operator new).", ""] + table(
                ["message", *STAGES, "allocations"], rows)


def lengths(results: Results) -> list[str]:
    rows = [[f"{stages['engine']['bytes']:,.0f}", f"{stages['index']['median']:,.0f}", f"{stages['engine']['median']:,.0f}",
             f"{stages['engine']['allocations']:.0f}"] for message, stages in engine_rows(results).items() if message.startswith("length")]
    return ["By length, of a message with nothing to edit (nanoseconds):", ""] + table(["bytes", "index", "engine", "allocations"], rows) if rows else []


def shapes(results: Results) -> list[str]:
    """What a stranger could send to make reading it take long, by its length."""
    by_shape: dict[str, dict[int, dict[str, dict]]] = {}
    for message, stages in engine_rows(results).items():
        if message.startswith("shape "):
            shape, length = message.removeprefix("shape ").rsplit(" ", 1)
            by_shape.setdefault(shape, {})[int(length)] = stages
    if not by_shape:
        return []
    lengths = sorted(next(iter(by_shape.values())))
    by_shape = dict(sorted(by_shape.items(), key=lambda entry: -entry[1][lengths[-1]]["engine"]["median"]))
    rows = [[shape, *(f"{of[length]['engine']['median'] / 1000:,.1f}" for length in lengths),
             *(f"{of[length]['second opinion']['median'] / 1000:,.1f}" for length in lengths)] for shape, of in by_shape.items()]
    return ["By shape and length, of an INVITE that comes again, and of libosip2 alone (microseconds):", ""] + table(
        ["shape", *(f"engine, {length:,} bytes" for length in lengths), *(f"second opinion, {length:,}" for length in lengths)], rows)


def growth(results: Results) -> list[str]:
    """What a message and an entry cost by how many there are, and a start with all of them."""
    grown = results.data.get("growth")
    if not grown:
        return []
    lines = ["### Growth", "", "Nanoseconds of CPU a message in the engine, libosip2 included, and in brackets how many times as much as at one, "
             "by how many registrations or calls there are; and with 100,000 registrations and 20,000 calls at once.", ""]
    for kind in ("registrations", "calls"):
        sizes = [one for one in grown["sizes"] if one[kind]]
        rows = []
        for message in sizes[0]["nanoseconds"]:
            rows.append([message, *(f"{statistics.median(one['nanoseconds'][message]):,.0f} ({grows(grown, one, message).median:.2f})" for one in sizes)])
        # Of few entries what an engine takes by itself is most.
        rows.append(["bytes of the heap for each", *(f"{one['used'] / one[kind]:,.0f}" if one[kind] >= 1000 and one is not sizes[-1] else ""
                                                     for one in sizes)])
        lines += table([kind, *(f"{one[kind]:,}" for one in sizes[:-1]), "all"], rows)
    begun = grown["start"]
    steps = [f"{step} {Figure(one[step] for one in begun['seconds']).text('.2f')}" for step in ("read", "restore", "save")]
    lines += [f"A start with {begun['registrations']:,} registrations and {begun['calls']:,} calls, seconds of CPU: {', '.join(steps)}. The state file has "
              f"{begun['bytes'] / 1e6:,.0f} MB, and the process {begun['resident'] / 1e6:,.0f} MB when it is done.", ""]
    return lines


def grows(grown: dict, one: dict, message: str) -> Figure:
    """How many times as much as at one entry, by rounds."""
    alone = {"registrations": min(1, one["registrations"]), "calls": min(1, one["calls"])}
    if one["registrations"] and one["calls"]:
        alone["calls" if message.startswith("REGISTER") else "registrations"] = 0
    first = next(size for size in grown["sizes"] if all(size[key] == value for key, value in alone.items()))
    return Figure(value / base for value, base in zip(one["nanoseconds"][message], first["nanoseconds"][message]))


def goals(results: Results) -> list[str]:
    """What the project set itself, and what came of it. On an emulated processor no time means anything by itself."""
    if results.data["emulated"]:
        return []
    rows: list[list[str]] = []

    def row(goal: str, figure: Figure, limit: float, form: str = ",.1f") -> None:
        if figure:
            rows.append([goal, figure.text(form), "yes" if figure.median <= limit else "**no**"])

    def saturated(workload: str) -> dict:
        return {"kind": "saturation", "workload": workload}

    row("a call's messages: at most 30 µs of CPU each beyond `accept`", results.beyond(micros, "sipnat", "accept", **saturated("invite")), 30)
    row("REGISTER and its 200: at most 15 µs each beyond `accept`", results.beyond(micros, "sipnat", "accept", **saturated("register")), 15)
    for workload in WORKLOADS:
        row(f"{workload}: p99 less than 1,000 µs beyond `plain` at half load",
            results.beyond(lambda one: one["latency"].get("p99", 0.0), "sipnat", "plain", kind="half load", workload=workload), 1000)
    ours, theirs = (results.figure(lambda one: count_of(one) / one["seconds"], arm, **saturated("invite")) for arm in ("sipnat", "kernel"))
    if ours and theirs:
        rows.append(["calls beside nf_nat_sip's, messages/s", f"{ours.median:,.0f} : {theirs.median:,.0f}", ""])
    stages = engine_rows(results).get("INVITE with SDP", {})
    for stage, goal, limit in (("engine", "12 µs with libosip2", 12), ("engine alone", "4 µs without it", 4)):
        if stage in stages:
            row(f"the engine, INVITE: at most {goal}", Figure(value / 1000 for value in stages[stage]["nanoseconds"]), limit)
    for message, figures in engine_rows(results).items():
        if message == "untouched":
            row("a message that is not edited: no allocation", Figure([figures["engine"]["allocations"]]), 0.01)
    if grown := results.data.get("growth"):
        sizes = {(one["registrations"], one["calls"]): one for one in grown["sizes"]}
        for message in sizes[0, 20000]["nanoseconds"]:
            row(f"{message}: with 20,000 calls at most 1.3 times as much as with one", grows(grown, sizes[0, 20000], message), 1.3, ".2f")
        row("a registration: less than 2,000 bytes", Figure([sizes[100000, 0]["used"] / 100000]), 2000, ",.0f")
        row("a call: less than 4,000 bytes", Figure([sizes[0, 20000]["used"] / 20000]), 4000, ",.0f")
        row("a start with 100,000 registrations and 20,000 calls, without the kernel's part: less than 2 s",
            Figure(sum(one.values()) for one in grown["start"]["seconds"]), 2, ".2f")
    return ["### Goals", ""] + table(["goal", "measured", "met"], rows) if rows else []


# The plot

COLOURS = {"direct": "#bbbbbb", "plain": "#88aacc", "accept": "#5577aa", "kernel": "#cc8844", "sipnat": "#338855", "flowtable": "#aa66aa"}
BAR, GAP, LABEL, WIDTH = 16, 26, 90, 330


def plot(results: Results) -> str:
    panels: list[tuple[str, Callable[[dict], float], str]] = [
        ("messages/s at saturation", lambda one: count_of(one) / one["seconds"], ",.0f"),
        ("CPU, µs a message", micros, ",.1f"),
    ]
    rows = [(workload, arm) for workload in WORKLOADS for arm in results.arms
            if results.of(arm, kind="saturation", workload=workload)]
    height = 50 + len(rows) * BAR + len(WORKLOADS) * GAP
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LABEL + 2 * (WIDTH + 90)}" height="{height}" font-family="sans-serif" font-size="11">',
             '<rect width="100%" height="100%" fill="white"/>']
    for number, (title, value, form) in enumerate(panels):
        left = LABEL + number * (WIDTH + 90)
        parts.append(f'<text x="{left}" y="20" font-weight="bold">{title}</text>')
        figures = {row: results.figure(value, row[1], kind="saturation", workload=row[0]) for row in rows}
        scale = WIDTH / max([max(figure.values) for figure in figures.values()], default=1)
        y, before = 30, None
        for (workload, arm), figure in figures.items():
            if workload != before:
                y += GAP
                parts.append(f'<text x="{left}" y="{y - 5}" fill="#555555">{WORKLOADS[workload] if number == 0 else ""}</text>')
                before = workload
            low, high = min(figure.values) * scale, max(figure.values) * scale
            parts.append(f'<rect x="{left}" y="{y}" width="{figure.median * scale:.1f}" height="{BAR - 3}" fill="{COLOURS[arm]}"/>')
            parts.append(f'<line x1="{left + low:.1f}" x2="{left + high:.1f}" y1="{y + 6.5}" y2="{y + 6.5}" stroke="black"/>')
            parts.append(f'<text x="{left + high + 4:.1f}" y="{y + 10}">{figure.median:{form}}</text>')
            if number == 0:
                parts.append(f'<text x="{LABEL - 6}" y="{y + 10}" text-anchor="end">{arm}</text>')
            y += BAR
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="Tables and plot out of measurements; see the docstring.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    results = Results(json.loads(options.results.read_text()))
    text = markdown(results)
    if options.markdown:
        options.markdown.write_text(text)
    else:
        print(text)
    if options.plot:
        options.plot.write_text(plot(results))


if __name__ == "__main__":
    main()
