import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import de.captaingoldfish.scim.sdk.client.ScimClientConfig;
import de.captaingoldfish.scim.sdk.client.ScimRequestBuilder;
import de.captaingoldfish.scim.sdk.client.builder.BulkBuilder;
import de.captaingoldfish.scim.sdk.client.resources.ResourceType;
import de.captaingoldfish.scim.sdk.client.response.ServerResponse;
import de.captaingoldfish.scim.sdk.common.constants.EndpointPaths;
import de.captaingoldfish.scim.sdk.common.constants.SchemaUris;
import de.captaingoldfish.scim.sdk.common.constants.enums.Comparator;
import de.captaingoldfish.scim.sdk.common.constants.enums.HttpMethod;
import de.captaingoldfish.scim.sdk.common.constants.enums.PatchOp;
import de.captaingoldfish.scim.sdk.common.constants.enums.SortOrder;
import de.captaingoldfish.scim.sdk.common.resources.EnterpriseUser;
import de.captaingoldfish.scim.sdk.common.resources.Group;
import de.captaingoldfish.scim.sdk.common.resources.ServiceProvider;
import de.captaingoldfish.scim.sdk.common.resources.User;
import de.captaingoldfish.scim.sdk.common.resources.base.ScimObjectNode;
import de.captaingoldfish.scim.sdk.common.resources.complex.Name;
import de.captaingoldfish.scim.sdk.common.resources.multicomplex.Email;
import de.captaingoldfish.scim.sdk.common.resources.multicomplex.Member;
import de.captaingoldfish.scim.sdk.common.response.BulkResponse;
import de.captaingoldfish.scim.sdk.common.response.ListResponse;
import de.captaingoldfish.scim.sdk.common.schemas.Schema;
import java.util.*;

/** A life by the client of SCIM-SDK: discovery, create, queries, PATCH, groups, pages, bulk, delete. */
public class ScimSDK {
	static final ObjectMapper mapper = new ObjectMapper();

	/** Work throws what the library throws; the string says what is wrong, null for nothing. */
	interface Work {
		String run() throws Exception;
	}

	static void check(String name, Work work) {
		String problem;
		try {
			problem = work.run();
		} catch (Exception e) {
			problem = e.getClass().getSimpleName() + ": " + e.getMessage();
		}
		ObjectNode line = mapper.createObjectNode();
		line.put("check", name).put("ok", problem == null).put("detail", problem == null ? "" : problem);
		System.out.println(line);
	}

	static String expect(Object want, Object got) {
		return Objects.equals(want, got) ? null : "expected " + want + ", got " + got;
	}

	/** Returns the resource of an answer that the library takes for a valid one, with the status that is expected. */
	static <T extends ScimObjectNode> T good(int status, ServerResponse<T> answer) {
		if (!answer.isSuccess() || !answer.isValidScimResponse() || answer.getHttpStatus() != status) {
			throw new IllegalStateException(answer.getHttpStatus() + " " + answer.getResponseBody());
		}
		return answer.getResource();
	}

	/** Expects an error of the protocol. */
	static String refused(int status, String scimType, ServerResponse<?> answer) {
		if (answer.isSuccess() || answer.getErrorResponse() == null) return answer.getHttpStatus() + " " + answer.getResponseBody();
		return expect(status + " " + scimType, answer.getErrorResponse().getStatus() + " " + answer.getErrorResponse().getScimType().orElse(null));
	}

	/** Returns the id of what an operation created. The library has a field for it that RFC 7644 section 3.7 does not. */
	static String madeBy(BulkResponse answer, String bulkId) {
		String location = answer.getByBulkId(bulkId).orElseThrow().getLocation().orElseThrow();
		return location.substring(location.lastIndexOf('/') + 1);
	}

	static User user, other;
	static Group group;
	static String version;

	public static void main(String[] args) {
		ScimClientConfig config = ScimClientConfig.builder().connectTimeout(10).requestTimeout(30).socketTimeout(30)
			.httpHeaders(Map.of("Authorization", "Bearer " + System.getenv("SCIM_TOKEN"))).build();
		try (ScimRequestBuilder scim = new ScimRequestBuilder(System.getenv("SCIM_URL"), config)) {
			life(scim);
		}
	}

	static void life(ScimRequestBuilder scim) {
		check("ServiceProviderConfig", () -> {
			ServiceProvider config = good(200, scim.get(ServiceProvider.class, EndpointPaths.SERVICE_PROVIDER_CONFIG).sendRequest());
			return config.getPatchConfig().isSupported() && config.getFilterConfig().isSupported() ? null : config.toString();
		});
		check("ResourceTypes", () -> {
			ListResponse<ResourceType> types = good(200, scim.list(ResourceType.class, EndpointPaths.RESOURCE_TYPES).get().sendRequest());
			return expect(List.of("User", "Group"), types.getListedResources().stream().map(ResourceType::getName).toList());
		});
		check("Schemas", () -> {
			for (String id : List.of(SchemaUris.USER_URI, SchemaUris.ENTERPRISE_USER_URI, SchemaUris.GROUP_URI)) {
				// the library reads a schema only where every attribute has all that RFC 7643 section 7 asks for
				new Schema(good(200, scim.get(User.class, EndpointPaths.SCHEMAS, id).sendRequest()));
			}
			return null;
		});
		check("create", () -> {
			User babs = User.builder().userName("bjensen@example.com").displayName("Babs").active(true)
				.name(Name.builder().givenName("Barbara").familyName("Jensen").build())
				.emails(List.of(Email.builder().value("bjensen@example.com").type("work").primary(true).build()))
				.enterpriseUser(EnterpriseUser.builder().employeeNumber("701984").build()).build();
			ServerResponse<User> answer = scim.create(User.class, EndpointPaths.USERS).setResource(babs).sendRequest();
			user = good(201, answer);
			other = good(201, scim.create(User.class, EndpointPaths.USERS).setResource(User.builder().userName("mandy@example.com").build()).sendRequest());
			version = answer.getHttpHeaders().entrySet().stream().filter(h -> h.getKey().equalsIgnoreCase("ETag")).map(Map.Entry::getValue).findFirst().orElse(null);
			if (version == null) return "no ETag";
			return expect("701984", user.getEnterpriseUser().orElseThrow().getEmployeeNumber().orElse(null));
		});
		check("create again", () -> refused(409, "uniqueness",
			scim.create(User.class, EndpointPaths.USERS).setResource(User.builder().userName("BJENSEN@example.com").build()).sendRequest()));
		check("create what is no JSON", () -> refused(400, "invalidSyntax", scim.create(User.class, EndpointPaths.USERS).setResource("{\"userName\":").sendRequest()));
		check("get", () -> expect(user, good(200, scim.get(User.class, EndpointPaths.USERS, user.getId().get()).sendRequest())));
		check("get, not modified", () -> {
			ServerResponse<User> answer = scim.get(User.class, EndpointPaths.USERS, user.getId().get()).setETagForIfNoneMatch(version).sendRequest();
			return expect(304, answer.getHttpStatus());
		});
		check("get without groups, not modified", () -> {
			String url = System.getenv("SCIM_URL") + EndpointPaths.USERS + "/" + user.getId().get() + "?excludedAttributes=groups";
			ServerResponse<User> answer = scim.get(url, User.class).setETagForIfNoneMatch(version).sendRequest();
			return expect(304, answer.getHttpStatus());
		});
		check("get what is not there", () -> refused(404, null, scim.get(User.class, EndpointPaths.USERS, "none").sendRequest()));
		check("list with a filter", () -> {
			ListResponse<User> found = good(200, scim.list(User.class, EndpointPaths.USERS)
				.filter("userName", Comparator.EQ, "bjensen@example.com").and("name.familyName", Comparator.SW, "j").build().get().sendRequest());
			return found.getTotalResults() == 1 ? expect(user.getId(), found.getListedResources().get(0).getId()) : found.toString();
		});
		check("list with a filter that is none", () -> refused(400, "invalidFilter", scim.list(User.class, EndpointPaths.USERS).filter("userName eq").get().sendRequest()));
		check("list, sorted", () -> {
			ListResponse<User> found = good(200, scim.list(User.class, EndpointPaths.USERS).sortBy("userName").sortOrder(SortOrder.DESCENDING).get().sendRequest());
			return expect(List.of("mandy@example.com", "bjensen@example.com"), found.getListedResources().stream().map(u -> u.getUserName().get()).toList());
		});
		check("list, by pages", () -> {
			Set<String> ids = new HashSet<>();
			for (int start = 1; start <= 2; start++) {
				ListResponse<User> page = good(200, scim.list(User.class, EndpointPaths.USERS).startIndex(start).count(1).get().sendRequest());
				if (page.getTotalResults() != 2 || page.getItemsPerPage() != 1 || page.getStartIndex() != start) return page.toString();
				page.getListedResources().forEach(u -> ids.add(u.getId().get()));
			}
			return expect(Set.of(user.getId().get(), other.getId().get()), ids);
		});
		check("list, some attributes", () -> {
			ListResponse<User> found = good(200, scim.list(User.class, EndpointPaths.USERS).attributes("userName").get().sendRequest());
			return expect(true, found.getListedResources().stream().allMatch(u -> u.getUserName().isPresent() && u.getMeta().isEmpty() && u.getEmails().isEmpty()));
		});
		check("list by POST", () -> {
			ListResponse<User> found = good(200, scim.list(User.class, EndpointPaths.USERS).filter("userName", Comparator.SW, "m").build().post().sendRequest());
			return expect(1L, found.getTotalResults());
		});
		check("update", () -> {
			user.setTitle("Tour Guide");
			user = good(200, scim.update(User.class, EndpointPaths.USERS, user.getId().get()).setResource(user).sendRequest());
			return expect("Tour Guide", user.getTitle().orElse(null));
		});
		check("update, if the version does not match", () -> refused(412, null,
			scim.update(User.class, EndpointPaths.USERS, user.getId().get()).setETagForIfMatch(version).setResource(user).sendRequest()));
		check("patch", () -> {
			user = good(200, scim.patch(User.class, EndpointPaths.USERS, user.getId().get())
				.addOperation().op(PatchOp.ADD).path("emails").valueNode(Email.builder().value("babs@home.test").type("home").build())
				.next().op(PatchOp.REPLACE).path("emails[type eq \"work\"].display").value("Work")
				.next().op(PatchOp.REMOVE).path("title").build().sendRequest());
			return user.getEmails().size() == 2 && user.getTitle().isEmpty() ? expect("Work", user.getEmails().get(0).getDisplay().orElse(null)) : user.toString();
		});
		check("patch without path", () -> {
			user = good(200, scim.patch(User.class, EndpointPaths.USERS, user.getId().get())
				.addOperation().op(PatchOp.REPLACE).valueNode(User.builder().nickName("Barb").active(false).build()).build().sendRequest());
			return user.isActive().orElse(true) ? user.toString() : expect("Barb", user.getNickName().orElse(null));
		});
		check("create a group", () -> {
			Group guides = Group.builder().displayName("Tour Guides").members(List.of(Member.builder().value(user.getId().get()).build())).build();
			group = good(201, scim.create(Group.class, EndpointPaths.GROUPS).setResource(guides).sendRequest());
			return expect(user.getId(), group.getMembers().get(0).getValue());
		});
		check("add and remove a member", () -> {
			ServerResponse<Group> answer = scim.patch(Group.class, EndpointPaths.GROUPS, group.getId().get())
				.addOperation().op(PatchOp.ADD).path("members").valueNode(Member.builder().value(other.getId().get()).build())
				.next().op(PatchOp.REMOVE).path("members[value eq \"" + user.getId().get() + "\"]").build().sendRequest();
			if (!answer.isSuccess()) return answer.getHttpStatus() + " " + answer.getResponseBody();
			group = good(200, scim.get(Group.class, EndpointPaths.GROUPS, group.getId().get()).sendRequest());
			return group.getMembers().size() == 1 ? expect(other.getId(), group.getMembers().get(0).getValue()) : group.toString();
		});
		check("a user's groups", () -> {
			other = good(200, scim.get(User.class, EndpointPaths.USERS, other.getId().get()).sendRequest());
			return expect(group.getId(), other.getGroups().get(0).getValue());
		});
		check("bulk", () -> {
			BulkBuilder bulk = scim.bulk();
			bulk.bulkRequestOperation(EndpointPaths.USERS).method(HttpMethod.POST).bulkId("b1").data(User.builder().userName("bulk@example.com").build()).next();
			bulk.bulkRequestOperation(EndpointPaths.GROUPS).method(HttpMethod.POST).bulkId("b2")
				.data(Group.builder().displayName("Bulk").members(List.of(Member.builder().value("bulkId:b1").type("User").build())).build()).next();
			BulkResponse answer = good(200, bulk.sendRequest());
			String id = madeBy(answer, "b1");
			Group made = good(200, scim.get(Group.class, EndpointPaths.GROUPS, madeBy(answer, "b2")).sendRequest());
			good(204, scim.delete(User.class, EndpointPaths.USERS, id).sendRequest());
			good(204, scim.delete(Group.class, EndpointPaths.GROUPS, made.getId().get()).sendRequest());
			return expect(id, made.getMembers().get(0).getValue().orElse(null));
		});
		check("delete", () -> {
			good(204, scim.delete(Group.class, EndpointPaths.GROUPS, group.getId().get()).sendRequest());
			good(204, scim.delete(User.class, EndpointPaths.USERS, user.getId().get()).sendRequest());
			good(204, scim.delete(User.class, EndpointPaths.USERS, other.getId().get()).sendRequest());
			return expect(0L, good(200, scim.list(User.class, EndpointPaths.USERS).get().sendRequest()).getTotalResults());
		});
		check("delete what is not there", () -> refused(404, null, scim.delete(User.class, EndpointPaths.USERS, user.getId().get()).sendRequest()));
	}
}
