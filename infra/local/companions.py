"""Deploys the companion stacks that tests need: tenants, a disabled schedule, and a rule on a bucket."""

import json

import progress
from checkout import ROOT, STACK, Failed, phase
from deployment import client

# Two tenants with an account each, and one tenant with an organization.
TENANTS = {"alpha": "111111111111", "beta": "222222222222"}
ORGANIZATION, ITS_ACCOUNT = "gamma", "333333333333"
UPLOADS = f"{STACK}-uploads"


def deploy_companions(aws):
    with phase("companions") as note:
        for tenant, account in TENANTS.items():
            deploy_tenant(aws, tenant, {"Accounts": account})
        deploy_tenant(aws, ORGANIZATION, {"OrganizationId": organization_of(aws, ITS_ACCOUNT)})
        weekly = json.loads((ROOT / "events" / "schedule" / "weekly.json").read_text())["Parameters"]
        deploy(aws, "schedule", f"{STACK}-weekly", weekly | {"State": "DISABLED"})
        put_bucket(aws)
        rule = {"Stack": STACK, "Bucket": UPLOADS, "Prefix": "reports/", "Workflow": "on-upload"}
        deploy(aws, "object-created", f"{STACK}-reports", rule)
        note.append(f"tenants {', '.join([*TENANTS, ORGANIZATION])}; schedule weekly; rule reports")


def deploy_tenant(aws, tenant, who):
    # The emulator treats a Number parameter as a string. See the main stack in deployment.py.
    parameters = {"Stack": STACK, "Tenant": tenant, "DispatchMaximumConcurrency": "0"}
    deploy(aws, "tenant", f"{STACK}-tenant-{tenant}", parameters | who)


def organization_of(aws, account):
    """Returns the organization of an account.

    In the emulator, an access key of twelve digits is the root user of that account. The emulator creates the
    organization on the first request for it.
    """
    organizations = client("organizations", aws, aws_access_key_id=account, aws_secret_access_key="test")
    return organizations.describe_organization()["Organization"]["Id"]


def put_bucket(aws):
    s3 = client("s3", aws)
    s3.create_bucket(Bucket=UPLOADS)
    s3.put_bucket_notification_configuration(
        Bucket=UPLOADS, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )


def deploy(aws, template, stack, parameters):
    cloudformation = client("cloudformation", aws)
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=(ROOT / "infra" / f"{template}.yaml").read_text(),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    status = lambda: cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    events = lambda: cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    over = lambda: (now := status()) != "CREATE_IN_PROGRESS" and now
    ended = progress.wait(over, lambda: len(events()), 0.1)
    if ended != "CREATE_COMPLETE":
        reasons = [event["ResourceStatusReason"] for event in events() if event.get("ResourceStatusReason")]
        raise Failed(f"{stack} was not created: {ended or 'no progress'}; {'; '.join(reasons)}")
