import os
import subprocess
import sys
import tempfile
import unittest

import processes
import progress

# More than the test waits for, because the kernel counts whole ticks of user and system time.
BUSY = "import time\nend = time.process_time() + 0.15\nwhile time.process_time() < end: pass\ntime.sleep(600)"


class Processes(unittest.TestCase):
    def start(self, session, **environment):
        process = subprocess.Popen([sys.executable, "-c", BUSY], env={processes.MARKER: session, **environment})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

    def test_cpu_time_is_summed_by_kind_and_only_for_the_session(self):
        with tempfile.TemporaryDirectory() as session:
            for name in ("open-item", "open-item", "invoke"):
                self.start(session, AWS_LAMBDA_FUNCTION_NAME=f"bcce-dev-{name}")
            self.start(session + "-another", AWS_LAMBDA_FUNCTION_NAME="bcce-dev-dispatch")
            used = lambda: processes.used(session)
            enough = lambda: used().get("open-item", 0) >= 0.2 and used().get("invoke", 0) >= 0.1
            self.assertTrue(progress.wait(enough, used, 0.05))
            self.assertEqual(set(used()), {"open-item", "invoke"})

    def test_kinds(self):
        for kind, command in [
            (processes.EMULATOR, b"/x/.venv/bin/python\0/x/infra/local/emulator.py\0"),
            (processes.MODEL, b"/x/target/release/scripted-model\0--port\0000\0"),
            ("others", b"/x/target/debug/bcce\0config\0"),
        ]:
            self.assertEqual(processes.kind_of(0, command, {}), kind)
        self.assertEqual(processes.kind_of(os.getpid(), b"python", {}), processes.OURS)

    def test_the_times_of_a_process_whose_name_has_spaces_and_parentheses(self):
        stat = "7 (a ) b) S 1 1 1 0 -1 0 0 0 0 0 " + " ".join(str(n * processes.TICKS) for n in (1, 2, 3, 4)) + " 20 0"
        self.assertEqual(processes.times(stat), (3, 7))

    def test_the_limit_is_named(self):
        for spent, named in [
            ({processes.EMULATOR: 9.5, "invoke": 5, processes.FOREIGN: 0}, "the emulator: it used 0.95 cores"),
            ({processes.EMULATOR: 5, "invoke": 13, processes.FOREIGN: 0}, "the machine: 1.80 of its 2 cores"),
            ({processes.EMULATOR: 2, "invoke": 3, processes.FOREIGN: 0}, "waiting, not CPU time: 0.50 of 2 cores"),
            ({processes.EMULATOR: 9.5, processes.FOREIGN: 3}, "unknown: processes of other work used 0.30 cores"),
        ]:
            self.assertTrue(processes.limit(spent, 10, 2).startswith(named), processes.limit(spent, 10, 2))

    def test_what_the_stack_did_not_use_is_foreign(self):
        before, after = ({"emulator": 5.0}, 100.0), ({"emulator": 8.0, "invoke": 2.0}, 111.0)
        expected = {"emulator": 3.0, "invoke": 2.0, processes.FOREIGN: 6.0}
        self.assertEqual(processes.spent(before, after), expected)

    def test_a_machine_is_busy_when_it_is_not_idle_and_does_not_wait_for_a_disk(self):
        line = "cpu  " + " ".join(str(n * processes.TICKS) for n in (1, 2, 3, 1000, 1000, 4, 5, 6, 0, 0))
        self.assertEqual(processes.busy(f"{line}\ncpu0 9 9"), 21)

    def test_the_peak_memory_of_a_process_is_in_its_status(self):
        self.assertEqual(processes.peak_of("Name:\tx\nVmHWM:\t   20000 kB\nVmRSS:\t 100 kB\n"), 20.48)
        self.assertEqual(processes.peak_of("Name:\tkthread\n"), 0)


if __name__ == "__main__":
    unittest.main()
