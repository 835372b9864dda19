"""sipnatctl's other commands, without a daemon and with one that talks nonsense."""
import re
import socket
import threading
import unittest

from program import ProgramTest


class Commands(ProgramTest, unittest.TestCase):
    def test_that_are_not_there_yet_say_so(self):
        for command in ("trace", "explain"):
            for more in ([], ["--json"], ["in.pcap", "--out", "out.pcap"]):
                self.expect(self.ctl(command, *more), 2, b"", f'sipnatctl: "{command}" is not in this version\n')

    def test_that_nobody_knows_are_named(self):
        self.expect_usage(self.ctl("frobnicate"), "frobnicate")
        self.expect_usage(self.ctl("--frobnicate"), "--frobnicate")

    def test_none_shows_what_there_is(self):
        self.expect_usage(self.ctl(), "rewrite")

    def test_help(self):
        done = self.ctl("--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"rewrite", done.stdout)
        self.assertIn(b"status", done.stdout)
        done = self.ctl("rewrite", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        for option in (b"--src", b"--dst", b"--snat", b"--dnat", b"--media-ports", b"--after", b"--explain", b"--json"):
            self.assertIn(option, done.stdout)

    def test_version(self):
        for program in ("sipnatctl", "sipnatd"):
            done = self.run_program(program, "--version")
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertRegex(done.stdout.decode(), re.compile(r"\A\d+\.\d+\.\d+\n\Z"))


class Status(ProgramTest, unittest.TestCase):
    def answered(self, reply, *options):
        """`status` against a daemon that says `reply`; what it was asked comes along."""
        path = str(self.folder / "control.sock")
        asked = []
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()

            def serve():
                client, _ = listener.accept()
                with client:
                    asked.append(client.recv(4096))
                    client.sendall(reply)

            daemon = threading.Thread(target=serve, daemon=True)
            daemon.start()
            done = self.ctl("status", "--socket", path, *options)
            daemon.join(timeout=10)
        return done, b"".join(asked)

    def test_without_a_daemon(self):
        path = str(self.folder / "none.sock")
        for arguments, environment in ((["--socket", path], {}), ([], {"SIPNAT_SOCKET": path}),
                                       (["--json"], {"SIPNAT_SOCKET": path}),
                                       (["--socket", path], {"SIPNAT_SOCKET": "/elsewhere"})):
            done = self.ctl("status", *arguments, **environment)
            self.expect(done, 1, b"", f"ask sipnatd at {path}: No such file or directory\n")

    def test_asks_for_it_in_one_line(self):
        _, asked = self.answered(b"{}")
        self.assertEqual(asked, b"status\n")

    def test_answer_that_cant_be_read(self):
        for reply in (b"{}", b"nonsense", b'{"error":"no such request"}'):
            done, _ = self.answered(reply)
            self.expect(done, 1, b"", "sipnatd's answer can't be read: is it another version?\n")
            (self.folder / "control.sock").unlink()

    def test_daemon_that_hangs_up(self):
        done, _ = self.answered(b"")
        self.expect(done, 1, b"", f"ask sipnatd at {self.folder}/control.sock: it gave no answer\n")


if __name__ == "__main__":
    unittest.main()
