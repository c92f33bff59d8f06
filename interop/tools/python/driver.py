"""What the Python drivers share: where the server is, and a line of JSON for each check."""

import json
import os

URL = os.environ["SCIM_URL"]
TOKEN = os.environ["SCIM_TOKEN"]


def report(check, ok, detail=""):
    print(json.dumps({"check": check, "ok": ok, "detail": "" if ok else str(detail)}), flush=True)
