import asyncio
import json
import unittest
from unittest import mock

import emulator
import meter

KB = "x" * 1000


class Door(unittest.TestCase):
    """Requests to the handlers of services."""

    def setUp(self):
        self.meter = meter.Meter()

    def send(self, service, method="POST", path="/", headers=None, body=b"", query=None, answer=(200, {}, b"{}")):
        """Sends a request. Returns the body that the handler received."""
        received = []

        async def handle(method, path, headers, body, query):
            received.append(body)
            return answer

        sent = self.meter.counted(service, handle)(method, path, headers or {}, body, query or {})
        self.assertEqual(asyncio.run(sent), answer)
        return received[0]

    def test_requests_are_counted_by_service_and_operation(self):
        self.send("kms", headers={"x-amz-target": "TrentService.Sign"})
        self.send("sqs", query={"Action": ["SendMessage"]})
        self.send("iam", body=b"Version=1&Action=GetRole")
        self.send("lambda", "GET")
        self.assertEqual(set(self.meter.read()), {"kms Sign", "sqs SendMessage", "iam GetRole", "lambda GET"})

    def test_a_client_that_watches_is_not_counted(self):
        self.send("s3", "GET", "/bucket/key", {"user-agent": f"Boto3/1 app/{meter.APP_ID}"})
        self.assertEqual(self.meter.read(), {})

    def test_an_object_that_is_written_is_an_event_and_a_request_to_kms(self):
        self.send("s3", "PUT", "/bucket/a/b")
        self.send("s3", "PUT", "/bucket/a/b", answer=(412, {}, b""))
        self.send("s3", "GET", "/bucket/a/b")
        self.send("s3", "GET", "/bucket/c", answer=(404, {}, b""))
        self.send("s3", "GET", "/bucket", query={"list-type": ["2"]})
        requests = {"s3 PutObject": 2, "s3 GetObject": 2, "s3 ListObjectsV2": 1}
        self.assertEqual(self.meter.read(), requests | {"s3 objects created": 1, "s3 kms requests": 3})

    def test_a_document_of_the_configuration_is_counted_by_itself_too(self):
        for path in ("/bucket/config/prices/a.yaml", "/bucket/runs/config/a.json"):
            self.send("s3", "GET", path)
        self.send("s3", "PUT", "/bucket/config/prices/a.yaml")
        counts = self.meter.read()
        self.assertEqual((counts["s3 configuration reads"], counts["s3 GetObject"]), (1, 2))

    def test_dynamodb_is_asked_for_the_units_of_a_write(self):
        consumed = {"ConsumedCapacity": [{"CapacityUnits": 4.0}, {"CapacityUnits": 2.0}]}
        target = {"x-amz-target": "DynamoDB_20120810.TransactWriteItems"}
        answer = (200, {}, json.dumps(consumed).encode())
        received = self.send("dynamodb", headers=target, body=b'{"TransactItems": []}', answer=answer)
        self.assertEqual(json.loads(received), {"TransactItems": [], "ReturnConsumedCapacity": "TOTAL"})
        self.assertEqual(self.meter.read()["dynamodb write units"], 6)


class Operations(unittest.TestCase):
    def test_operations_of_s3(self):
        copy = {"x-amz-copy-source": "/bucket/a"}
        for name, method, path, headers, query in [
            ("CopyObject", "PUT", "/bucket/b", copy, {}),
            ("UploadPart", "PUT", "/bucket/b", {}, {"partNumber": ["1"], "uploadId": ["u"]}),
            ("UploadPartCopy", "PUT", "/bucket/b", copy, {"partNumber": ["1"], "uploadId": ["u"]}),
            ("CreateMultipartUpload", "POST", "/bucket/b", {}, {"uploads": [""]}),
            ("CompleteMultipartUpload", "POST", "/bucket/b", {}, {"uploadId": ["u"]}),
            ("DeleteObjects", "POST", "/bucket/", {}, {"delete": [""]}),
            ("HeadObject", "HEAD", "/bucket/a/b", {}, {}),
            ("DeleteObject", "DELETE", "/bucket/a", {}, {}),
            ("HeadBucket", "HEAD", "/bucket", {}, {}),
            ("PutBucket", "PUT", "/bucket", {}, {}),
        ]:
            with self.subTest(name):
                self.assertEqual(meter.s3_operation(method, path, headers, query), name)

    def test_units_of_dynamodb(self):
        item = {"pk": {"S": KB * 5}}
        for units, name, request, answer in [
            ((0, 1), "GetItem", {}, {"Item": item}),
            ((0, 2), "GetItem", {"ConsistentRead": True}, {"Item": item}),
            ((0, 0.5), "GetItem", {}, {}),
            ((0, 2), "Query", {}, {"Items": [item, item, item]}),
            ((0, 0.5), "Query", {}, {"Items": []}),
            ((0, 6), "TransactGetItems", {}, {"Responses": [{"Item": item}, {}]}),
            ((0, 2), "BatchGetItem", {"RequestItems": {"t": {"Keys": [1, 2, 3]}}}, {"Responses": {"t": [item]}}),
            ((3, 0), "PutItem", {}, {"ConsumedCapacity": {"CapacityUnits": 3.0}}),
        ]:
            with self.subTest(name, request=request):
                self.assertEqual(meter.units_of(name, request, 200, answer), units)

    def test_a_refused_write_is_charged(self):
        refused = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}
        self.assertEqual(meter.units_of("PutItem", {}, 400, refused), (1, 0))
        cancelled = {"__type": "TransactionCanceledException"}
        self.assertEqual(meter.units_of("TransactWriteItems", {"TransactItems": [1, 2]}, 400, cancelled), (4, 0))
        self.assertEqual(meter.units_of("PutItem", {}, 400, {"__type": "ValidationException"}), (0, 0))


class Machine(unittest.TestCase):
    def test_the_transitions_of_an_execution_and_of_its_children_are_counted(self):
        counting, functions = meter.Meter(), emulator.stepfunctions
        for name, wrap in (
            ("_execute_pass", counting.entered),
            ("_execute_map", counting.entered),
            ("_run_sub_machine", counting.iterated),
        ):
            self.enterContext(mock.patch.object(functions, name, wrap(getattr(functions, name))))
        item = {"Look": {"Type": "Pass", "Next": "Over"}, "Over": {"Type": "Succeed"}}
        machine = {
            "Items": {"Type": "Map", "ItemProcessor": {"StartAt": "Look", "States": item}, "Next": "Last"},
            "Last": {"Type": "Pass", "End": True},
        }
        functions._run_sub_machine(machine, "Items", [1, 2, 3], {"events": []}, {})
        # Items, Last, and Look and Over of each of the three items.
        self.assertEqual(counting.read(), {"states transitions": 8})

    def test_each_attempt_of_a_task_is_counted(self):
        counting = meter.Meter()
        add = counting.attempted(lambda execution, event, details=None: event)
        for event in ("TaskStateEntered", "TaskScheduled", "TaskFailed", "TaskScheduled", "SucceedStateEntered"):
            self.assertEqual(add({}, event), event)
        self.assertEqual(counting.read(), {"states transitions": 3})


class Functions(unittest.TestCase):
    def test_an_invocation_is_counted_with_the_memory_of_its_function(self):
        counting = meter.Meter()
        config = {"FunctionName": "bcce-dev-open-item", "MemorySize": 512}
        self.assertEqual(counting.invoked(lambda *_: "result")({}, config, {}), "result")
        counts = counting.read()
        self.assertEqual(counts["lambda open-item invocations"], 1)
        self.assertAlmostEqual(counts["lambda open-item GB-seconds"], counts["lambda open-item seconds"] / 2)

    def test_the_functions_of_the_emulator_that_are_wrapped_exist(self):
        replaced = []
        replace = lambda module, name, wrap: replaced.append(callable(wrap(getattr(module, name))))
        ministack = emulator.ministack
        with (
            mock.patch.object(meter, "replace", replace),
            mock.patch.object(ministack, "app", ministack.app),
            mock.patch.dict(ministack.SERVICE_HANDLERS),
        ):
            meter.Meter().install(ministack)
        self.assertTrue(replaced and all(replaced))

    def test_the_counts_can_be_read(self):
        counting, sent = meter.Meter(), []
        counting.add("kms Sign", 2)

        async def send(message):
            sent.append(message)

        asyncio.run(counting.served(None)({"type": "http", "path": meter.PATH}, None, send))
        self.assertEqual(json.loads(sent[1]["body"]), {"kms Sign": 2})


if __name__ == "__main__":
    unittest.main()
