"""sipnatd's command line, as far as it goes without a kernel to work with."""
import unittest

from program import SOURCE, ProgramTest

SHIPPED = SOURCE / "systemd" / "sipnat.toml"


class Check(ProgramTest, unittest.TestCase):
    def check(self, file, **environment):
        return self.run_program("sipnatd", "--check", "--config", str(file), **environment)

    def test_good(self):
        self.expect(self.check(SHIPPED), 0, f"{SHIPPED}: good\n".encode())
        empty = self.file("empty.toml", b"")
        self.expect(self.check(empty), 0, f"{empty}: good\n".encode())

    def test_all_faults_with_file_and_line(self):
        bad = self.file("bad.toml", b"[sip]\nudp_ports = []\n\n[queue]\ncount = 0\nfirst = -1\n[typo]\n")
        self.expect(self.check(bad), 1, b"",
                    f"{bad}:2: sip.udp_ports: has to be a list of 1 to 16 ports\n"
                    f"{bad}:5: queue.count: 0 is not from 1 to 16\n"
                    f"{bad}:6: queue.first: -1 is not from 0 to 65535\n"
                    f"{bad}:7: typo: no such section\n")

    def test_first_syntax_error(self):
        bad = self.file("bad.toml", b"[queue]\ncount = 0\nfirst = =\nlast = =\n")
        done = self.check(bad)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertTrue(done.stderr.decode().startswith(f"{bad}:3: "), done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1)

    def test_file_that_cant_be_read(self):
        for name in (self.folder / "none.toml", self.folder):
            self.expect(self.check(name), 1, b"", f"{name}: can't be read\n")

    def test_environment(self):
        self.expect(self.check(SHIPPED, SIPNAT_QUEUE_FIRST="7", SIPNAT_SOCKET="/run/second.sock"), 0,
                    f"{SHIPPED}: good\n".encode())
        self.expect(self.check(SHIPPED, SIPNAT_QUEUE_FIRST="x", SIPNAT_SOCKET="second.sock"), 1, b"",
                    'environment variable SIPNAT_SOCKET: "second.sock" is not an absolute path\n'
                    'environment variable SIPNAT_QUEUE_FIRST: "x" is not from 0 to 65535\n')

    def test_without_check_a_faulty_file_ends_it(self):
        bad = self.file("bad.toml", b"[queue]\ncount = 0\n")
        self.expect(self.run_program("sipnatd", "--config", bad), 1, b"",
                    f"sipnatd: {bad}:2: queue.count: 0 is not from 1 to 16\n")

    def test_journald_gets_priorities(self):
        bad = self.file("bad.toml", b"[queue]\ncount = 0\n")
        self.expect(self.run_program("sipnatd", "--config", bad, JOURNAL_STREAM="8:1"), 1, b"",
                    f"<3>{bad}:2: queue.count: 0 is not from 1 to 16\n")


class CommandLine(ProgramTest, unittest.TestCase):
    def test_unknown_options(self):
        for arguments in (["--frob"], ["extra"], ["--config"], ["--check", "--daemonize"]):
            self.expect_usage(self.run_program("sipnatd", *arguments), arguments[-1])

    def test_help(self):
        done = self.run_program("sipnatd", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        for option in (b"--config", b"--check", b"--foreground"):
            self.assertIn(option, done.stdout)

    def test_foreground_means_nothing(self):
        done = self.run_program("sipnatd", "--foreground", "--check", "--config", str(SHIPPED))
        self.expect(done, 0, f"{SHIPPED}: good\n".encode())


if __name__ == "__main__":
    unittest.main()
