import unittest
from unittest import mock

import recording
from deployment import FUNCTIONS


class Recording(unittest.TestCase):
    def test_a_function_of_which_nothing_was_recorded_is_named(self):
        scenes = {name: [{}] for name in FUNCTIONS}
        self.assertEqual(recording.unrecorded(scenes), [])
        self.assertEqual(recording.unrecorded(scenes | {"invoke": []}), ["invoke"])

    def test_invocations_are_sorted_by_function_and_each_exchange_is_kept_once(self):
        read, written = ({"method": method, "path": "/k", "target": None} for method in ("GET", "PUT"))
        both = [{"function": "f", "exchanges": [read, written]}, {"function": "f", "exchanges": [read]}]
        with mock.patch("recording.batch.fetched", return_value=recording.json.dumps(both)):
            with mock.patch.dict("os.environ", AWS_ENDPOINT_URL="http://127.0.0.1"):
                taken = recording.Recording()
                self.assertEqual(list(taken.of(["f", "g"])), [("f", both), ("g", [])])
        self.assertEqual(taken.exchanges(), {"f": [read, written]})


if __name__ == "__main__":
    unittest.main()
