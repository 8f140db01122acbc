import unittest

from concurrency import Pool, overrides, parsed, quoted, reservation
from samcli.cli.types import CfnParameterOverridesType


class Reservation(unittest.TestCase):
    def test_half_of_the_pool_stays_unreserved(self):
        self.assertEqual(reservation(Pool(1000, 1000))[0], 500)
        self.assertEqual(reservation(Pool(3000, 3000))[0], 1500)

    def test_a_hundred_stay_unreserved_of_a_small_pool(self):
        self.assertEqual(reservation(Pool(150, 150))[0], 50)

    def test_a_new_account_reserves_nothing_and_says_why(self):
        for total in (10, 100, 119):
            value, because = reservation(Pool(total, total))
            self.assertEqual(value, 0)
            self.assertIn(f"pool of {total} concurrent executions", because)

    def test_the_reservations_of_other_functions_are_kept(self):
        self.assertEqual(reservation(Pool(1000, 700))[0], 200)
        self.assertEqual(reservation(Pool(1000, 510))[0], 0)

    def test_a_second_deployment_gives_the_same_as_the_first(self):
        self.assertEqual(reservation(Pool(1000, 500, invoke=500))[0], 500)
        self.assertEqual(reservation(Pool(1000, 500, invoke=480, webhook=20), 20)[0], 480)

    def test_the_reservation_of_webhook_is_deducted(self):
        self.assertEqual(reservation(Pool(1000, 1000), webhook=20)[0], 480)

    def test_lambda_accepts_every_value(self):
        for total in range(1, 2000):
            for others in range(0, total, 37):
                value, _ = reservation(Pool(total, total - others))
                self.assertTrue(value == 0 or total - others - value >= 100, (total, others, value))


class Overrides(unittest.TestCase):
    SECTION = {"parameter_overrides": "Environment=prod WebhookReservedConcurrency=10"}

    def ask(self):
        return Pool(1000, 1000)

    def never(self):
        raise AssertionError("the account must not be asked")

    def test_the_parameters_of_the_section_are_given_again(self):
        values, _ = overrides(self.SECTION, "", self.ask)
        expected = {"Environment": "prod", "WebhookReservedConcurrency": "10", "InvokeReservedConcurrency": "490"}
        self.assertEqual(values, expected)

    def test_webhook_gets_a_small_part_of_the_pool(self):
        values, _ = overrides({}, "", self.ask)
        expected = {"WebhookReservedConcurrency": "10", "InvokeReservedConcurrency": "490"}
        self.assertEqual(values, expected)
        values, _ = overrides({}, "", lambda: Pool(10, 10))
        self.assertEqual(values, {"WebhookReservedConcurrency": "0", "InvokeReservedConcurrency": "0"})
        values, _ = overrides({}, "Webhook=off", self.ask)
        self.assertEqual(values, {"Webhook": "off", "InvokeReservedConcurrency": "500"})

    def test_a_second_deployment_keeps_the_values_of_the_first(self):
        values, _ = overrides({}, "", lambda: Pool(1000, 500, invoke=480, webhook=20))
        self.assertEqual(values, {"WebhookReservedConcurrency": "20", "InvokeReservedConcurrency": "480"})

    def test_a_given_parameter_is_kept(self):
        both = {"parameter_overrides": "InvokeReservedConcurrency=0 WebhookReservedConcurrency=0"}
        self.assertEqual(overrides(both, "", self.never)[0]["InvokeReservedConcurrency"], "0")
        values, said = overrides(self.SECTION, "InvokeReservedConcurrency=50", self.never)
        self.assertEqual(values["InvokeReservedConcurrency"], "50")
        self.assertIn("InvokeReservedConcurrency=50, as configured", said)

    def test_an_account_that_does_not_answer_changes_nothing(self):
        values, said = overrides(self.SECTION, "", lambda: "no credentials")
        self.assertEqual(values, parsed(self.SECTION["parameter_overrides"]))
        self.assertIn("(no credentials)", said[-1])

    def test_both_forms_of_a_parameter_are_read(self):
        self.assertEqual(parsed("A='b c' D=e=f"), {"A": "b c", "D": "e=f"})
        long_form = "ParameterKey=A,ParameterValue=b,c ParameterKey=D,ParameterValue=e"
        self.assertEqual(parsed(long_form), {"A": "b,c", "D": "e"})

    def test_an_invalid_parameter_is_named(self):
        with self.assertRaisesRegex(SystemExit, "error: the parameter Environment has no value"):
            parsed("Environment prod")

    def test_sam_reads_the_quoted_values(self):
        """Uses the parser of `sam deploy --parameter-overrides`."""
        values = {"A": "b c", "D": "e=f", "Empty": "", "List": "arn:aws:s3:::a,arn:aws:s3:::a/*", "Odd": 'say "x"'}
        words = tuple(quoted(name, value) for name, value in values.items())
        self.assertEqual(CfnParameterOverridesType().convert(words, None, None), values)


if __name__ == "__main__":
    unittest.main()
