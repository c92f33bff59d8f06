"""Second opinions by scim2-models, which knows the schemas that the server publishes, in its strict reading."""

import json
import os
import pathlib

from driver import TOKEN, URL, report
from httpx2 import Client
from pydantic import ValidationError
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import Context, PatchOp, SCIMException, ScimFilter

http = Client(base_url=URL, headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/scim+json"}, timeout=30)
scim = SyncSCIMClient(http)
scim.discover()
User = scim.get_resource_model("User")


def vectors(name):
    return json.loads(pathlib.Path(os.environ["SCIM_VECTORS"], name).read_text(encoding="utf-8"))


def send(method, path, body=None, **kwargs):
    answer = http.request(method, path, content=None if body is None else json.dumps(body), **kwargs)
    return answer.status_code, answer.json() if answer.content else None


def create(body):
    status, created = send("POST", "/Users", body)
    if status != 201:
        raise RuntimeError(f"creating {body['userName']}: {status} {created}")
    return created


def model(resource):
    return User.model_validate(resource, scim_ctx=Context.RESOURCE_QUERY_RESPONSE)


def plain(resource):
    """A resource without what the server alone knows, and without values that are none."""
    rest = {k: v for k, v in resource.items() if k not in ("meta", "groups") and v not in (None, [], {})}
    rest["schemas"] = sorted(rest["schemas"])
    return rest


def compare(check, ours, theirs):
    report(check, ours == theirs, f"the server says {ours}, the library {theirs}")


for user in vectors("users.json"):
    create(user)
users = send("GET", "/Users")[1]["Resources"]

for text in vectors("filters.json"):
    status, answer = send("GET", "/Users", params={"filter": text})
    ours = sorted(u["userName"] for u in answer["Resources"]) if status == 200 else f"{status} {answer.get('scimType')}"
    try:
        selects = ScimFilter[User](text)
        theirs = sorted(u["userName"] for u in users if selects.match(model(u)))
    except SCIMException as e:
        theirs = f"{e.status} {e.scim_type}"
    compare(f"filter {text}", ours, theirs)

ada = next(u for u in users if u.get("externalId") == "A-1")
for vector in vectors("patches.json"):
    copy = {k: v for k, v in ada.items() if k not in ("id", "meta")} | {"userName": "patched@example.com", "externalId": "P-1"}
    copy["emails"] = [ada["emails"][0] | {"value": copy["userName"]}, *ada["emails"][1:]]
    created = create(copy)
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": vector["operations"]}
    status, answer = send("PATCH", f"/Users/{created['id']}", body)
    ours = plain(send("GET", f"/Users/{created['id']}")[1]) if status < 300 else f"refused with {answer.get('scimType')}"
    try:
        patched = model(created)
        PatchOp[User].model_validate(body, scim_ctx=Context.RESOURCE_PATCH_REQUEST).patch(patched)
        theirs = plain(patched.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE))
    except SCIMException as e:
        theirs = f"refused with {e.scim_type}"
    except ValidationError as e:
        theirs = "refused with " + e.errors()[0]["type"].removeprefix("scim_")
    if isinstance(ours, dict) and isinstance(theirs, dict):
        differ = [k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)]
        ours, theirs = ({k: r.get(k) for k in sorted(differ)} for r in (ours, theirs))
    compare(f"patch: {vector['name']}", ours, theirs)
    send("DELETE", f"/Users/{created['id']}")
