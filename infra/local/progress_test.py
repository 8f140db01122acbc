import subprocess
import sys
import unittest

from progress import AT_MOST, LOOKS, STILL, wait, worked


class Clock:
    """A clock on which waiting takes no time."""

    def __init__(self):
        self.seconds = 0

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


class Waits(unittest.TestCase):
    def test_a_wait_goes_on_as_long_as_the_state_changes(self):
        clock = Clock()
        came = wait(lambda: clock.seconds >= 20 * STILL, lambda: clock.seconds // (STILL - 1), 1, clock)
        self.assertTrue(came)
        clock = Clock()
        self.assertIsNone(wait(lambda: False, lambda: min(clock.seconds, 10), 1, clock))
        self.assertAlmostEqual(clock.seconds, 10 + STILL, delta=2)

    def test_slow_checks_give_more_time(self):
        clock = Clock()

        def look():
            clock.sleep(9)

        self.assertIsNone(wait(look, lambda: "the same", 1, clock))
        self.assertGreaterEqual(clock.seconds, (LOOKS - 1) * 10)

    def test_a_wait_whose_state_changes_forever_ends(self):
        clock = Clock()
        self.assertIsNone(wait(lambda: False, lambda: clock.seconds, 1, clock))
        self.assertAlmostEqual(clock.seconds, AT_MOST, delta=2)

    def test_the_work_of_a_process_is_detected(self):
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            before = worked(busy)
            self.assertTrue(wait(lambda: worked(busy) > before, lambda: None, 0.05))
        finally:
            busy.kill()
            busy.wait()
        self.assertIsNone(worked(busy))


if __name__ == "__main__":
    unittest.main()
