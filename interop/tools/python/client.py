"""A life by scim2-client, which checks every answer against the schemas that the server publishes."""

import traceback

from driver import TOKEN, URL, report
from httpx2 import Client
from scim2_client import SCIMClientException
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import PatchOp, PatchOperation, ResponseParameters, SCIMException, SearchRequest

scim = SyncSCIMClient(Client(base_url=URL, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30))


def check(name):
    """Runs a function now and reports what it raises, or returns as a problem."""

    def run(work):
        try:
            problem = work()
        except (SCIMClientException, SCIMException) as e:
            problem = f"{type(e).__name__}: {e}"
        except Exception as e:  # noqa: BLE001
            problem = "".join(traceback.format_exception_only(e)).strip()
        report(name, problem is None, problem)

    return run


def expect(want, got):
    return None if want == got else f"expected {want!r}, got {got!r}"


def refused(work, status, scim_type):
    """Expects an error of the protocol."""
    answer = work(raise_scim_errors=False)
    return expect((status, scim_type), (getattr(answer, "status", None), getattr(answer, "scim_type", None)))


@check("discover")
def _():
    scim.discover()
    return expect(["User", "Group"], [t.name for t in scim.provider.resource_types])


User, Group = scim.get_resource_model("User"), scim.get_resource_model("Group")
Enterprise = User.get_extension_models()["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]
life = {}


def modify(resource, *operations):
    patch = PatchOp[type(resource)](operations=[PatchOperation(**o) for o in operations])
    scim.modify(type(resource), resource.id, patch)
    return scim.query(type(resource), resource.id)


@check("create")
def _():
    new = User(
        user_name="bjensen@example.com",
        display_name="Babs",
        active=True,
        name={"givenName": "Barbara", "familyName": "Jensen"},
        emails=[{"value": "bjensen@example.com", "type": "work", "primary": True}],
    )
    new[Enterprise] = Enterprise(employee_number="701984", department="Tours")
    life["babs"] = scim.create(new)
    life["mandy"] = scim.create(User(user_name="mandy@example.com"))
    return expect("701984", life["babs"][Enterprise].employee_number)


@check("create again")
def _():
    return refused(lambda **k: scim.create(User(user_name="BJENSEN@example.com"), **k), 409, "uniqueness")


@check("create without what is required")
def _():
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "displayName": "Nobody"}
    return refused(lambda **k: scim.create(body, check_request_payload=False, url="/Users", **k), 400, "invalidValue")


@check("query one")
def _():
    return expect(life["babs"].model_dump(), scim.query(User, life["babs"].id).model_dump())


@check("query one, some attributes")
def _():
    got = scim.query(User, life["babs"].id, ResponseParameters[User](attributes=["userName", "name.familyName"]))
    return expect((True, "Jensen", None, None), (got.user_name is not None, got.name.family_name, got.name.given_name, got.emails))


@check("query one, not modified")
def _():
    answer = scim.query(life["babs"])
    return None if answer is life["babs"] else "the whole resource was sent again"


@check("query what is not there")
def _():
    return refused(lambda **k: scim.query(User, "none", **k), 404, None)


@check("query with a filter")
def _():
    found = scim.query(User, SearchRequest(filter='emails[type eq "work" and value ew "@example.com"]'))
    return expect((1, life["babs"].id), (found.total_results, found.resources[0].id))


@check("query with a filter that is none")
def _():
    return refused(lambda **k: scim.query(User, {"filter": "userName eq"}, check_request_payload=False, **k), 400, "invalidFilter")


@check("query, sorted")
def _():
    found = scim.query(User, SearchRequest(sort_by="userName", sort_order="descending"))
    return expect(["mandy@example.com", "bjensen@example.com"], [u.user_name for u in found.resources])


@check("query, by pages")
def _():
    pages = [scim.query(User, SearchRequest(start_index=i, count=1)) for i in (1, 2)]
    if any(p.total_results != 2 or p.items_per_page != 1 for p in pages):
        return repr(pages)
    return expect({life["babs"].id, life["mandy"].id}, {p.resources[0].id for p in pages})


@check("query, no resources asked for")
def _():
    found = scim.query(User, SearchRequest(count=0))
    return expect((2, 0), (found.total_results, len(found.resources or [])))


@check("query all types")
def _():
    return expect(2, scim.query().total_results)


@check("search by POST")
def _():
    return expect(1, scim.search(User, SearchRequest(filter='userName sw "m"')).total_results)


@check("search all types by POST")
def _():
    return expect(2, scim.search(SearchRequest(count=10)).total_results)


@check("replace")
def _():
    life["babs"].title = "Tour Guide"
    life["babs"].display_name = None
    life["babs"] = scim.replace(life["babs"])
    return expect(("Tour Guide", None), (life["babs"].title, life["babs"].display_name))


@check("replace, if the version does not match")
def _():
    stale = life["babs"].model_copy(deep=True)
    stale.meta.version = 'W/"none"'
    return refused(lambda **k: scim.replace(stale, **k), 412, None)


@check("modify")
def _():
    got = modify(
        life["babs"],
        {"op": "add", "path": "emails", "value": [{"value": "babs@home.test", "type": "home"}]},
        {"op": "replace", "path": 'emails[type eq "work"].display', "value": "Work"},
        {"op": "remove", "path": "title"},
    )
    return expect((2, "Work", None), (len(got.emails), got.emails[0].display, got.title))


@check("modify an extension")
def _():
    got = modify(life["babs"], {"op": "replace", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "Guides"})
    return expect("Guides", got[Enterprise].department)


@check("modify what is read-only")
def _():
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "path": "id", "value": "x"}]}
    return refused(lambda **k: scim.modify(User, life["babs"].id, body, check_request_payload=False, **k), 400, "mutability")


@check("deactivate")
def _():
    return expect(False, modify(life["babs"], {"op": "replace", "path": "active", "value": False}).active)


@check("create a group")
def _():
    life["group"] = scim.create(Group(display_name="Tour Guides", members=[{"value": life["babs"].id, "type": "User"}]))
    return expect([life["babs"].id], [m.value for m in life["group"].members])


@check("a user's groups")
def _():
    return expect([life["group"].id], [g.value for g in scim.query(User, life["babs"].id).groups])


@check("add a member")
def _():
    got = modify(life["group"], {"op": "add", "path": "members", "value": [{"value": life["mandy"].id}]})
    return expect({life["babs"].id, life["mandy"].id}, {m.value for m in got.members})


@check("remove a member")
def _():
    got = modify(life["group"], {"op": "remove", "path": f'members[value eq "{life["babs"].id}"]'})
    return expect([life["mandy"].id], [m.value for m in got.members])


@check("remove who is no member")
def _():
    got = modify(life["group"], {"op": "remove", "path": f'members[value eq "{life["babs"].id}"]'})
    return expect([life["mandy"].id], [m.value for m in got.members])


@check("groups of a member")
def _():
    found = scim.query(Group, SearchRequest(filter=f'members.value eq "{life["mandy"].id}"', excluded_attributes=["members"]))
    return expect((1, None), (found.total_results, found.resources[0].members))


@check("bulk")
def _():
    if not scim.provider.config.bulk.supported:
        return "the server says that it has no bulk operations"
    from scim2_models import BulkOperation, BulkRequest  # noqa: PLC0415

    operation = BulkOperation[User](method="POST", path="/Users", bulk_id="b1", data=User(user_name="bulk@example.com"))
    answer = scim.bulk(BulkRequest[User](operations=[operation]))
    location = answer.operations[0].location
    scim.delete(User, location.rsplit("/", 1)[-1])
    return expect("201", str(answer.operations[0].status))


@check("delete")
def _():
    for name in ("group", "babs", "mandy"):
        scim.delete(type(life[name]), life[name].id)
    return expect(0, scim.query(User).total_results)


@check("delete what is not there")
def _():
    return refused(lambda **k: scim.delete(User, life["babs"].id, **k), 404, None)
