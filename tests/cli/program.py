"""Runs sipnatctl and sipnatd as an admin would, and compares what comes out byte for byte."""
import os
import pathlib
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ["SIPNAT_BIN_DIR"])
SOURCE = pathlib.Path(__file__).resolve().parents[2]


def crlf(lines):
    """SIP text of lines that end in a newline."""
    return lines.replace("\n", "\r\n").encode()


def message(head, body=""):
    """A message of its head's lines, with the body's length as its last header."""
    return crlf(f"{head}Content-Length: {len(crlf(body))}\n\n{body}")


class ProgramTest(unittest.TestCase):
    """One temporary folder and no setting of ours in the environment."""

    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def run_program(self, program, *arguments, stdin=b"", **environment):
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith("SIPNAT_") and name != "JOURNAL_STREAM"}
        return subprocess.run([BIN / program, *arguments], input=stdin, capture_output=True, timeout=30,
                              cwd=self.folder, env=clean | environment, check=False)

    def ctl(self, *arguments, **more):
        return self.run_program("sipnatctl", *arguments, **more)

    def expect(self, done, status, stdout=b"", stderr=""):
        """All three, exactly."""
        self.assertEqual((done.returncode, done.stdout, done.stderr.decode()), (status, stdout, stderr))

    def expect_usage(self, done, text):
        """Exit 2, nothing on standard output, and `text` in what is said."""
        self.assertEqual((done.returncode, done.stdout), (2, b""), done.stderr)
        self.assertIn(text, done.stderr.decode())
