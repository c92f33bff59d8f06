"""Runs the probe of scim-sanity, which lives a user's and a group's life and looks at each answer."""

import json
import subprocess
import sys

from driver import TOKEN, URL, report

run = subprocess.run(
    [sys.executable, "-m", "scim_sanity", "probe", URL, "--token", TOKEN, "--strict", "--json-output", "--i-accept-side-effects"],
    stdout=subprocess.PIPE,
    check=False,  # it ends with 1 when a check failed
)
seen = {}
for result in json.loads(run.stdout)["results"]:
    if result["status"] == "skip":
        continue  # resource types of a draft that the server does not have
    name = result["name"]
    seen[name] = seen.get(name, 0) + 1
    if seen[name] > 1:
        name += f" ({seen[name]})"
    report(name, result["status"] == "pass", result.get("message", result["status"]))
