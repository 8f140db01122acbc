import json
import unittest

import batch
import batch_rate

COUNTS = {"items": 3, "succeeded": 3, "failed": 0, "cancelled": 0, "rejected": 0, "skipped": 0, "running": 0}


class Batches(unittest.TestCase):
    def test_every_item_of_a_batch_must_be_accounted_for(self):
        self.assertIsNone(batch.missing(3, COUNTS))
        for wrong in ({"items": 2, "succeeded": 2}, {"succeeded": 2}, {"succeeded": 2, "failed": 1}, {"skipped": 1}):
            with self.subTest(wrong):
                self.assertIn("3 items were sent", batch.missing(3, COUNTS | wrong))

    def test_each_item_tells_the_scripted_model_how_long_to_take(self):
        texts = [json.loads(line)["text"] for line in batch.source(3, 50).splitlines()]
        self.assertEqual(len(set(texts)), 3)
        self.assertTrue(all(text.startswith("@model *: slow(50)\n") for text in texts))
        self.assertNotIn("@model", batch.source(1, 0))


class Rates(unittest.TestCase):
    def test_the_largest_consumer_comes_first_and_small_ones_are_left_out(self):
        header, *rows = batch_rate.rows({"invoke": 2.0, "emulator": 8.0, "others": 0.01}, 10, 1000)
        self.assertEqual([row.split("|")[0].strip() for row in rows], ["emulator", "invoke"])
        self.assertEqual([float(cell) for cell in rows[0].split("|")[1:]], [8.0, 0.8, 8.0])


if __name__ == "__main__":
    unittest.main()
