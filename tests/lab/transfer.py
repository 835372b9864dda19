"""Transfers (RFC 3515, RFC 5589): the REFER of one party of a call, and what the other reports of it."""

from urllib.parse import quote

from lab.audio import AudioCall
from lab.sip import Message, parameter
from lab.ua import Dialog, UserAgent


class Transfer:
    """`by` refers the other party of `call` to somebody.

    seen    the REFER as the other party reads it
    """

    def __init__(self, call: AudioCall, by: UserAgent, refer_to: str, referred_by: str) -> None:
        self._call = call.call
        self._other = self._call.other(by)
        request = self._call.request(by, "REFER", headers=[("Refer-To", refer_to), ("Referred-By", referred_by)])
        self.seen = request.seen
        request.respond(202)

    def notify(self, fragment: bytes, *, over: bool = False) -> Message:
        """The other party says how its call goes, in a message/sipfrag. Returns the NOTIFY as it arrived."""
        state = "terminated;reason=noresource" if over else "active;expires=60"
        request = self._call.request(self._other, "NOTIFY", fragment, [
            ("Event", "refer"), ("Subscription-State", state), ("Content-Type", "message/sipfrag;version=2.0")])
        request.respond(200)
        return request.seen


def replaces(dialog: Dialog) -> str:
    """The value of a Replaces header for whoever is to get a request about this dialog from a third party (RFC 3891).

    `dialog` is the transferor's side of it: its own tag is the target's remote one.
    """
    return f"{dialog.call_id};to-tag={parameter(dialog.remote, 'tag')};from-tag={parameter(dialog.local, 'tag')}"


def with_replaces(uri: str, dialog: Dialog) -> str:
    """A Refer-To that has the other party's INVITE take the place of `dialog`."""
    return f"<{uri}?Replaces={quote(replaces(dialog), safe='')}>"
