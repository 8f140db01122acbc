import unittest

import prices

COUNTS = {
    "s3 PutObject": 4,
    "s3 ListObjectsV2": 1,
    "s3 GetObject": 7,
    "s3 DeleteObject": 3,
    "s3 objects created": 4,
    "s3 kms requests": 11,
    "kms Sign": 1,
    "kms GetPublicKey": 2,
    "dynamodb PutItem": 5,
    "dynamodb write units": 10.0,
    "dynamodb read units": 1.5,
    "states DescribeExecution": 9,
    "states transitions": 20,
    "lambda invoke invocations": 2,
    "lambda invoke seconds": 4.0,
    "lambda invoke GB-seconds": 2.0,
    "lambda open-item invocations": 3,
    "lambda open-item seconds": 1.0,
    "lambda open-item GB-seconds": 0.25,
    "sqs SendMessage": 1,
    "sqs GetQueueAttributes": 8,
    "sns Publish": 1,
    "ssm GetParameter": 6,
    "logs bytes": 3000,
}


class Prices(unittest.TestCase):
    def test_each_count_is_charged_once_under_its_price(self):
        self.assertEqual(
            prices.charged(COUNTS),
            {
                "S3: PUT, COPY, POST, LIST": 5,
                "S3: GET, HEAD": 7,
                "EventBridge: objects created": 4,
                "EventBridge: objects expired": 12,
                "KMS: S3's reads and writes": 11,
                "KMS: other requests": 2,
                "KMS: Sign, Verify (ECC)": 1,
                "DynamoDB: write units": 10,
                "DynamoDB: read units": 1.5,
                "Step Functions: transitions": 20,
                "Lambda: invocations": 5,
                "Lambda: GB-s, model callers": 2,
                "Lambda: GB-s, the others": 0.25,
                "SQS: requests": 3,
                "SNS: requests": 1,
                "SSM: parameters read": 6,
                "CloudWatch Logs: KB": 3,
            },
        )

    def test_everything_that_is_charged_has_a_price(self):
        self.assertEqual([price.name for price in prices.PRICES], list(prices.charged({})))

    def test_two_sizes_tell_the_cost_of_an_item_from_that_of_a_batch(self):
        charged = lambda items: {price.name: 7 + 20 * items for price in prices.PRICES}
        line = prices.lines((500, charged(500)), (1500, charged(1500)))[9]
        self.assertEqual((line.price.name, line.per_item, line.per_batch), ("Step Functions: transitions", 20, 7))
        self.assertAlmostEqual(line.usd(1_000_000), 25 * 20.000007)

    def test_a_million_items_never_cost_less_than_nothing(self):
        self.assertEqual(prices.Line(prices.PRICES[0], 0.0, -3.0).usd(prices.MILLION), 0)

    def test_the_table_ends_with_the_sum(self):
        charged = lambda items: {price.name: items for price in prices.PRICES}
        rows = list(prices.table(prices.lines((1, charged(1)), (2, charged(2)))))
        self.assertEqual(len(rows), len(prices.PRICES) + 2)
        self.assertEqual(float(rows[-1].split("|")[-1]), round(sum(price.usd_per_million for price in prices.PRICES), 2))


if __name__ == "__main__":
    unittest.main()
