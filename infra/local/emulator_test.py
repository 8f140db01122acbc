import unittest

import emulator
import jsonata


class Deadline(unittest.TestCase):
    # Recursion enough for several milliseconds.
    LONG = "($count := function($n) { $n = 0 ? 0 : $count($n - 1) }; $count(2000))"

    def test_an_expression_has_all_the_time_it_takes(self):
        parse = jsonata.Jsonata.jsonata
        with self.assertRaisesRegex(jsonata.JException, "Evaluation timeout after 1 milliseconds"):
            parse(self.LONG, timeout=1).evaluate(None)
        self.assertEqual(emulator.without_deadline(parse)(self.LONG, timeout=1).evaluate(None), 0)


if __name__ == "__main__":
    unittest.main()
