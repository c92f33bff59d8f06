"""Runs scim2-tester, which checks a server against RFC 7643 and RFC 7644 attribute by attribute."""

import random
import sys
import uuid

from driver import TOKEN, URL, report
from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server, filling

# What the tester makes up is the same each time, as far as it draws from here.
random.seed(1)

# It makes up every value from the attribute's type, so that userName is a UUID. A user needs an email here (a host is
# told who may sign in by it), and a userName in the form of one is enough.
made_up = filling.generate_random_value


def with_email(context, path, mutability=None, required=None):
    value = made_up(context, path, mutability, required)
    if value is not None and str(path).lower().endswith("username"):
        return f"{uuid.uuid4()}@example.com"
    return value


for module in list(sys.modules.values()):
    if module.__name__.startswith("scim2_tester") and getattr(module, "generate_random_value", None) is made_up:
        module.generate_random_value = with_email

client = SyncSCIMClient(Client(base_url=URL, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30))
for result in check_server(client):
    name = " ".join(filter(None, [result.resource_type, result.title]))
    data = result.data if isinstance(result.data, dict) else {}
    if urn := data.get("urn"):
        name += f" {urn}"
    # SKIPPED is no success: a check that cannot be made has to be explained like one that fails.
    report(name, result.status in (Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE), f"{result.status.name}: {result.reason}")
