import re
import tomllib
import unittest

import click
import commands
from checkout import ROOT
from commands import Given, of_make, program
from ministack.services.cloudformation import engine

CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
SECTIONS = [name for name, section in CONFIG.items() if isinstance(section, dict) and "deploy" in section]
# Commands in addition to the documented ones: each section of samconfig.toml, and the variants of `tenant` that the
# comments of the Makefile describe.
FURTHER = [
    *(("make", "deploy", f"ENV={section}") for section in SECTIONS),
    ("make", "lint"),
    ("make", "observe", "ENV=dev", "PARAMETERS=PagerTopicArn=a CostEmail=a@example.com CostMonitorArn=a UnusualUsd=50"),
    ("make", "tenant", "ENV=dev", "TENANT=a", "ACCOUNTS=111122223333", "ORGANIZATION=o-a1b2c3d4e5"),
    ("make", "tenant", "TENANT=a", "ACCOUNTS=111122223333", "PARAMETERS=ReaderExternalId=x PermissionsBoundaryArn=a"),
]


def every_command():
    """Returns each command once, even if it is documented several times."""
    given = {each.words: each for each in [*commands.documented(), *(Given("Makefile", words) for words in FURTHER)]}
    made = [of_make(each) if program(each.words) == "make" else [each] for each in given.values()]
    found = {each.words: each for several in made for each in several}
    return [each for each in found.values() if program(each.words) in ("sam", "aws")]


class Commands(unittest.TestCase):
    def test_every_command_line_is_valid_for_its_program(self):
        seen = set()
        for given in every_command():
            with self.subTest(str(given)):
                seen.add(program(given.words))
                self.assertIsNone(problem(given.words))
        self.assertEqual(seen, {"sam", "aws"})

    def test_every_target_that_calls_sam_is_among_them(self):
        makefile = (ROOT / "Makefile").read_text()
        targets = re.findall(r"^([a-z]+):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        calling = {target for target, recipe in targets if re.search(r"\$\(SAM\)|\baws ", recipe)}
        given = {words[1] for words in FURTHER}
        self.assertEqual(calling, given)

    def test_an_omitted_parameter_of_a_tenant_is_empty(self):
        """Otherwise sam would keep the old value of the parameter."""
        for given, empty in [("ACCOUNTS=111122223333", "OrganizationId"), ("ORGANIZATION=o-a1b2c3d4e5", "Accounts")]:
            [deploy] = of_make(Given("Makefile", ("make", "tenant", "TENANT=a", given)))
            self.assertEqual(commands.parsed_by_sam(deploy.words)["parameter_overrides"][empty], "")

    def test_a_stack_name_that_does_not_fit_into_resource_names_is_refused(self):
        for target in ("deploy", "tenant", "observe"):
            for name, fits in [("a" * 35, True), ("a" * 36, False), ("1", False), ("a_b", False), ("", False)]:
                words = ("make", target, f"MAIN_STACK={name}", "TENANT=a", "ACCOUNTS=111122223333")
                with self.subTest(words):
                    if fits:
                        self.assertTrue([*of_make(Given("Makefile", words))])
                    else:
                        with self.assertRaisesRegex(AssertionError, "up to 35 letters"):
                            [*of_make(Given("Makefile", words))]

    def test_a_concurrency_that_lambda_would_refuse_is_refused(self):
        tenant = {"Stack": "a", "Tenant": "a", "Accounts": "111122223333"}
        for path, others in [("infra/template.yaml", {}), ("infra/tenant.yaml", tenant)]:
            for concurrency, because in [("0", None), ("1", "0 or at least 2"), ("2", None)]:
                with self.subTest(path=path, concurrency=concurrency):
                    overrides = {**others, "DispatchMaximumConcurrency": concurrency}
                    why = refusal(path, overrides, ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"])
                    self.assertIn(because, why) if because else self.assertIsNone(why)

    def test_an_invalid_command_line_is_detected(self):
        main = "sam deploy --stack-name a --template-file infra/template.yaml --capabilities"
        tenant = "sam deploy --stack-name a --template-file infra/tenant.yaml --parameter-overrides"
        schedule = "aws cloudformation deploy --stack-name a --template-file infra/schedule.yaml --parameter-overrides"
        for wrong, because in {
            f"{main} CAPABILITY_IAM": "CAPABILITY_AUTO_EXPAND",
            f"{tenant} OrganizationId=": "not a valid format",
            f"{tenant} Stack=a Tenant=a": "who the tenant is",
            f"{tenant} Stak=a": "Stak",
            "sam deploy --no-such-option": "No such option",
            "aws sqs send-message --queue-url u": "--message-body",
            "aws sqs send-message --queue-url u --message-body b --wait 1": "Unknown options",
            "aws sts assume-role --role-arn r --role-session-name s": "valid min length",
            f"{schedule} Stack=1 Name=a Expression='rate(1 day)' Workflow=a": "Stack",
            f"{schedule} Stack=a Name=a Expression='rate(1 day)' Workflow=a": "CAPABILITY_IAM",
        }.items():
            [given] = commands.commands_in(wrong, "here")
            with self.subTest(wrong):
                self.assertIn(because, problem(given.words) or "nothing")


class Reading(unittest.TestCase):
    def words(self, text):
        return [given.words for given in commands.commands_in(text, "here")]

    def test_each_simple_command_is_found(self):
        commands_of = [("a", "b;c", "d"), ("h",), ("i",), ("j",)]
        self.assertEqual(self.words("a 'b;c' \\\n  d # e; f\nG=1 h | i && j"), commands_of)

    def test_a_variable_is_replaced_by_a_value_of_its_form(self):
        self.assertEqual(commands.expanded("s3://$ARTIFACT_BUCKET/a"), "s3://artifact-bucket/a")
        self.assertEqual(commands.expanded("$KEY_ARN"), "arn:aws:iam::123456789012:role/key-arn")


def problem(words):
    """Returns why the command would fail, or `None` if it would succeed."""
    if program(words) == "aws":
        calls, said = commands.parsed_by_aws(words)
        created = [parameters for name, parameters in calls if name == "CreateChangeSet"]
        if not calls or words[1:3] == ("cloudformation", "deploy") and not created:
            return said
        for change in created:
            overrides = {p["ParameterKey"]: p["ParameterValue"] for p in change["Parameters"] if "ParameterValue" in p}
            return refusal(words[words.index("--template-file") + 1], overrides, change["Capabilities"])
        return None
    try:
        understood = commands.parsed_by_sam(words)
    except click.ClickException as error:
        return error.format_message()
    if words[1] != "deploy":
        return None
    return refusal(understood["template_file"], understood["parameter_overrides"], understood["capabilities"])


def refusal(path, overrides, capabilities):
    """Returns why CloudFormation would refuse these parameters, or `None`. Uses the emulator's code for rules."""
    template = engine._parse_template((ROOT / path).read_text())
    unknown = overrides.keys() - template["Parameters"].keys()
    if unknown:
        return f"unknown: {unknown}"
    try:
        given = [{"Key": key, "Value": value} for key, value in overrides.items()]
        parameters = engine._resolve_parameters(template, given)
        engine._evaluate_rules(template, parameters, {})
    except ValueError as error:
        return str(error)
    roles = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::IAM::Role"]
    needed = "CAPABILITY_NAMED_IAM" if any("RoleName" in role for role in roles) else "CAPABILITY_IAM"
    if roles and needed not in capabilities:
        return f"{needed} is not acknowledged"
    is_nesting = any(r["Type"] == "AWS::CloudFormation::Stack" for r in template["Resources"].values())
    if is_nesting and "Transform" in template and "CAPABILITY_AUTO_EXPAND" not in capabilities:
        return "CAPABILITY_AUTO_EXPAND is not acknowledged"


if __name__ == "__main__":
    unittest.main()
