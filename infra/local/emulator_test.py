import asyncio
import threading
import time
import unittest
from unittest import mock

import emulator
import jsonata


class Deadline(unittest.TestCase):
    # A recursion that takes several milliseconds.
    LONG = "($count := function($n) { $n = 0 ? 0 : $count($n - 1) }; $count(2000))"

    def test_an_expression_has_no_time_limit(self):
        parse = jsonata.Jsonata.jsonata
        with self.assertRaisesRegex(jsonata.JException, "Evaluation timeout after 1 milliseconds"):
            parse(self.LONG, timeout=1).evaluate(None)
        self.assertEqual(emulator.without_deadline(parse)(self.LONG, timeout=1).evaluate(None), 0)


class Race(unittest.TestCase):
    def test_a_reading_is_repeated_while_another_thread_changes_what_it_reads(self):
        objects, readings = {"a": 1}, []

        def read():
            readings.append(len(objects))
            for key in objects:
                if len(objects) < 3:
                    objects[key + "b"] = 1
            return sorted(objects)

        self.assertEqual(emulator.again_if_changed(read)(), sorted(objects))
        self.assertGreater(len(readings), 1)

    def test_another_error_is_not_repeated(self):
        readings = []

        def read():
            readings.append(1)
            raise RuntimeError("no such bucket")

        self.assertRaisesRegex(RuntimeError, "no such bucket", emulator.again_if_changed(read))
        self.assertEqual(len(readings), 1)

    def test_the_reader_that_is_wrapped_exists(self):
        self.assertTrue(callable(emulator.stepfunctions._read_map_items))


class Alarms(unittest.TestCase):
    PROPERTIES = {"ComparisonOperator": "GreaterThanOrEqualToThreshold", "Threshold": 0.25}
    METRIC = {"Namespace": "BCCE", "MetricName": "RunFailed", "Dimensions": [{"Name": "Environment", "Value": "dev"}]}

    def test_an_alarm_on_an_expression_is_described_by_a_metric_of_it(self):
        stat = {"Metric": self.METRIC, "Stat": "Average", "Period": 3600}
        metrics = [{"Id": "rate", "Expression": "IF(a > 1, a, 0)"}, {"Id": "a", "MetricStat": stat}]
        of_expression = self.PROPERTIES | {"Metrics": metrics}
        record = emulator.provisioners._cw_metric_alarm_record
        with self.assertRaisesRegex(ValueError, "metric math"):
            record("a", of_expression)
        found = emulator.of_one_metric(record)("a", of_expression)
        expected = self.PROPERTIES | self.METRIC | {"Statistic": "Average", "Period": 3600}
        self.assertEqual(found, found | expected)
        self.assertEqual(emulator.of_one_metric(record)("a", expected), found)


class Concurrency(unittest.TestCase):
    ARN = "arn:aws:states:us-east-1:000000000000:stateMachine:m"

    def most_at_a_time(self, **state):
        """Runs a Map over twelve items and returns the largest number of items that ran at the same time."""
        lock, running, most = threading.Lock(), [], []

        def run(_states, _start, item, _execution, _context):
            with lock:
                running.append(item)
                most.append(len(running))
            time.sleep(0.02)
            with lock:
                running.remove(item)

        given = {"items": list(range(12)), "opened": {"limit": 3}}
        execution = {"stateMachineArn": self.ARN, "executionArn": f"{self.ARN}:e"}
        with mock.patch.object(emulator.stepfunctions, "_run_sub_machine", run):
            run_items = emulator.at_most(emulator.stepfunctions._run_map_items)
            run_items({"ItemsPath": "$.items", **state}, given, execution, {})
        return max(most)

    def test_a_map_obeys_the_path_of_its_limit(self):
        for mode in ("INLINE", "DISTRIBUTED"):
            processor = {"ItemProcessor": {"ProcessorConfig": {"Mode": mode}}}
            with self.subTest(mode):
                self.assertEqual(self.most_at_a_time(**processor, MaxConcurrencyPath="$.opened.limit"), 3)
                self.assertEqual(self.most_at_a_time(**processor, MaxConcurrency=2), 2)
                self.assertGreater(self.most_at_a_time(**processor), 3)

    def test_the_function_that_is_wrapped_exists(self):
        self.assertTrue(callable(emulator.stepfunctions._run_map_items))


class Guard(unittest.TestCase):
    """Calls from a web page, which the browser of the user of the emulator shows."""

    @staticmethod
    def called(kind="http", **headers):
        """Returns the first message of the application, or of the guard if it refuses the call."""
        sent = []

        async def app(scope, receive, send):
            await send({"type": "reached"})

        async def send(message):
            sent.append(message)

        scope = {"type": kind, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
        asyncio.run(emulator.for_this_machine(app)(scope, None, send))
        return sent[0]

    def test_a_client_on_this_machine_is_accepted(self):
        self.assertEqual(self.called(host="127.0.0.1:1"), {"type": "reached"})
        self.assertEqual(self.called("lifespan"), {"type": "reached"})

    def test_a_web_page_is_refused(self):
        image = {"host": "127.0.0.1:1", "sec-fetch-site": "cross-site"}
        for headers in ({"host": "127.0.0.1:1", "origin": "https://evil.example"}, {"host": "evil.example:1"}, image, {}):
            with self.subTest(headers):
                self.assertEqual(self.called(**headers)["status"], 403)
                self.assertEqual(self.called("websocket", **headers)["type"], "websocket.close")


if __name__ == "__main__":
    unittest.main()
