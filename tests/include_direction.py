#!/usr/bin/python3
"""Which folder may include what: the table of the design, over every #include of src/ and include/.

    include_direction.py SOURCE_DIR        prints each line that breaks a rule; exit 1 if there is one

A folder sees the folders of its row. Only the pieces that the row names of `core` are seen by those that share
values with it, not its insides. A header of src/ is private to its folder; public ones are "sipnat/FOLDER/…".
"""
import pathlib
import re
import sys

FOLDERS = {
    "base": set(),
    "net": {"base"},
    "sip": {"base", "net"},
    "sdp": {"base", "net"},
    "core": {"base", "net", "sip", "sdp"},
    "netfilter": {"base", "net", "core/kernel.h"},
    "config": {"base", "net", "core/settings.h"},
    "control": {"base", "net", "core/decision.h"},
    "daemon": {"base", "net", "sip", "sdp", "core", "netfilter", "config", "control"},
    "ctl": {"base", "net", "sip", "sdp", "core", "control"},
}

# Libraries that one folder wraps, and that the others know through it only.
LIBRARIES = [
    (re.compile(r"lib(mnl|nftnl|netfilter_\w+)/|nftables/|linux/(netfilter|netlink|rtnetlink)"), {"netfilter"}),
    (re.compile(r"osip"), {"core"}),
    (re.compile(r"pcap"), {"ctl"}),
    (re.compile(r"toml\+\+/"), {"config"}),
    (re.compile(r"CLI/"), {"daemon", "ctl"}),
    (re.compile(r"systemd/"), {"daemon"}),
    (re.compile(r"fmt/"), {"control", "daemon", "ctl"}),
    (re.compile(r"nlohmann/"), {"netfilter", "control", "daemon", "ctl"}),  # libnftables answers in JSON
    # The pure side has no clock, randomness, files or sockets of its own.
    (re.compile(r"(ctime|random|fstream|iostream|filesystem|thread|unistd\.h|fcntl\.h|poll\.h|time\.h|sys/.*)$"),
     {"netfilter", "config", "control", "daemon", "ctl"}),
]
ONE_FILE = {name: re.compile(name) for name in ("osip", "pcap")}

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


def fault_of_quoted(folder, name):
    parts = pathlib.PurePosixPath(name).parts
    public = parts[0] == "sipnat"
    if public:
        parts = parts[1:]
    if len(parts) != 2 or parts[0] not in FOLDERS:
        return "is no sipnat/FOLDER/x.h or FOLDER/x.h"
    if parts[0] == folder:
        return None
    if not public:
        return f"is private to {parts[0]}/"
    if parts[0] in FOLDERS[folder] or "/".join(parts) in FOLDERS[folder]:
        return None
    return f"is not for {folder}/ to see"


def fault_of_system(folder, name):
    for pattern, folders in LIBRARIES:
        if pattern.match(name) and folder not in folders:
            return "is for " + ", ".join(sorted(folders)) + " only"
    return None


def check(root):
    faults = []
    users = {name: set() for name in ONE_FILE}
    sources = [*root.glob("src/**/*.cc"), *root.glob("src/**/*.h"), *root.glob("include/sipnat/**/*.h")]
    for path in sorted(sources):
        place = path.relative_to(root)
        folder = place.parent.name
        if folder not in FOLDERS:
            faults.append(f"{place}: {folder}/ is not in the table")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            quoted, system = found.groups()
            if quoted and place.parts[0] == "include" and not quoted.startswith("sipnat/"):
                fault = "is private, and this header is public"
            else:
                fault = fault_of_quoted(folder, quoted) if quoted else fault_of_system(folder, system)
            if fault:
                faults.append(f"{place}:{number}: {quoted or system} {fault}")
            for name, pattern in ONE_FILE.items():
                if system and pattern.match(system):
                    users[name].add(str(place))
    for name, files in users.items():
        if len(files) != 1:
            faults.append(f"lib{name} is for one file, and is in: {', '.join(sorted(files)) or 'none'}")
    if not sources:
        faults.append(f"{root}: no sources")
    return faults


if __name__ == "__main__":
    found = check(pathlib.Path(sys.argv[1]))
    print("\n".join(found))
    sys.exit(1 if found else 0)
