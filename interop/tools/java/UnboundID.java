import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.unboundid.scim2.client.ScimService;
import com.unboundid.scim2.common.GenericScimResource;
import com.unboundid.scim2.common.exceptions.*;
import com.unboundid.scim2.common.filters.Filter;
import com.unboundid.scim2.common.messages.*;
import com.unboundid.scim2.common.types.*;
import com.unboundid.scim2.common.utils.FilterEvaluator;
import com.unboundid.scim2.common.utils.JsonUtils;
import jakarta.ws.rs.client.Client;
import jakarta.ws.rs.client.ClientBuilder;
import jakarta.ws.rs.client.ClientRequestFilter;
import java.io.File;
import java.util.*;
import org.glassfish.jersey.apache5.connector.Apache5ConnectorProvider;
import org.glassfish.jersey.client.ClientConfig;

/**
 * A life by the UnboundID SCIM 2 SDK: discovery, create, queries, PATCH, groups, pages, delete. Its filter evaluator and
 * its PATCH also give a second opinion on the vectors.
 */
public class UnboundID {
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
		report(name, problem);
	}

	static void report(String name, String problem) {
		ObjectNode line = mapper.createObjectNode();
		line.put("check", name).put("ok", problem == null).put("detail", problem == null ? "" : problem);
		System.out.println(line);
	}

	static String expect(Object want, Object got) {
		return Objects.equals(want, got) ? null : "expected " + want + ", got " + got;
	}

	static ScimService scim;

	public static void main(String[] args) throws Exception {
		String token = System.getenv("SCIM_TOKEN");
		ClientRequestFilter bearer = request -> request.getHeaders().putSingle("Authorization", "Bearer " + token);
		Client client = ClientBuilder.newClient(new ClientConfig().connectorProvider(new Apache5ConnectorProvider()).register(bearer));
		scim = new ScimService(client.target(System.getenv("SCIM_URL")));
		life();
		opinions();
		client.close();
	}

	static UserResource user, other;
	static GroupResource group;

	static void life() {
		check("ServiceProviderConfig", () -> {
			ServiceProviderConfigResource config = scim.getServiceProviderConfig();
			return config.getPatch().isSupported() && config.getFilter().isSupported() ? null : config.toString();
		});
		check("ResourceTypes", () -> expect(2, scim.getResourceTypes().getTotalResults()));
		check("ResourceTypes/User", () -> expect("/Users", scim.getResourceType("User").getEndpoint().toString()));
		check("Schemas", () -> {
			for (SchemaResource schema : scim.getSchemas()) {
				SchemaResource one = scim.getSchema(schema.getId());
				if (!one.getAttributes().equals(schema.getAttributes())) return schema.getId() + " differs from the one in the list";
			}
			return null;
		});
		check("create", () -> {
			user = scim.create("Users", new UserResource().setUserName("bjensen@example.com").setDisplayName("Babs")
				.setName(new Name().setGivenName("Barbara").setFamilyName("Jensen"))
				.setEmails(List.of(new Email().setValue("bjensen@example.com").setType("work").setPrimary(true))));
			other = scim.create("Users", new UserResource().setUserName("mandy@example.com"));
			return user.getId() == null || user.getMeta().getVersion() == null || user.getMeta().getCreated() == null ? user.toString() : null;
		});
		check("create again", () -> {
			try {
				scim.create("Users", new UserResource().setUserName("BJENSEN@example.com"));
				return "it was created";
			} catch (ResourceConflictException e) {
				return expect("uniqueness", e.getScimError().getScimType());
			}
		});
		check("retrieve", () -> expect(user, scim.retrieve(user)));
		check("retrieve attributes", () -> {
			GenericScimResource some = scim.retrieveRequest("Users", user.getId()).attributes("userName", "name.givenName").invoke(GenericScimResource.class);
			List<String> fields = new ArrayList<>();
			some.getObjectNode().fieldNames().forEachRemaining(fields::add);
			Collections.sort(fields);
			return expect(List.of("id", "name", "schemas", "userName"), fields);
		});
		check("retrieve without attributes", () -> {
			GenericScimResource some = scim.retrieveRequest("Users", user.getId()).excludedAttributes("emails", "name").invoke(GenericScimResource.class);
			return expect(false, some.getObjectNode().has("emails") || some.getObjectNode().has("name"));
		});
		check("retrieve, not modified", () -> {
			try {
				scim.retrieveRequest(user).ifNoneMatch().invoke();
				return "it was sent again";
			} catch (NotModifiedException e) {
				return null;
			}
		});
		check("retrieve without groups, not modified", () -> {
			try {
				scim.retrieveRequest(user).excludedAttributes("groups").ifNoneMatch().invoke();
				return "it was sent again";
			} catch (NotModifiedException e) {
				return null;
			}
		});
		check("retrieve what is not there", () -> {
			try {
				scim.retrieve("Users", "none", UserResource.class);
				return "found";
			} catch (ResourceNotFoundException e) {
				return expect(404, e.getScimError().getStatus());
			}
		});
		check("replace", () -> {
			user = scim.replace(user.setTitle("Tour Guide"));
			return expect("Tour Guide", user.getTitle());
		});
		check("replace, if the version matches", () -> {
			user = scim.replaceRequest(user.setTitle("Guide")).ifMatch().invoke();
			return expect("Guide", user.getTitle());
		});
		check("replace, if the version does not match", () -> {
			user.getMeta().setVersion("W/\"none\"");
			try {
				scim.replaceRequest(user).ifMatch().invoke();
				return "it was replaced";
			} catch (PreconditionFailedException e) {
				user = scim.retrieve("Users", user.getId(), UserResource.class);
				return null;
			}
		});
		check("modify", () -> {
			user = scim.modifyRequest(user).replaceValue("displayName", "Barbara Jensen")
				.addValues("emails", new Email().setValue("babs@example.com").setType("home"))
				.addValues("phoneNumbers", new PhoneNumber().setValue("555-1234").setType("work")).invoke();
			return user.getEmails().size() == 2 && user.getPhoneNumbers().size() == 1 ? expect("Barbara Jensen", user.getDisplayName()) : user.toString();
		});
		check("modify with a filter in the path", () -> {
			user = scim.modifyRequest("Users", user.getId()).replaceValue("emails[type eq \"home\"].value", "babs@home.test")
				.removeValues("phoneNumbers[type eq \"work\"]").invoke(UserResource.class);
			return user.getPhoneNumbers() == null ? expect("babs@home.test", user.getEmails().get(1).getValue()) : user.toString();
		});
		check("modify an extension", () -> {
			GenericScimResource r = scim.modifyRequest("Users", user.getId())
				.replaceValue("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber", "701984").invoke(GenericScimResource.class);
			return expect("701984", r.getStringValue("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber"));
		});
		check("search with a filter", () -> {
			ListResponse<UserResource> found = scim.searchRequest("Users").filter(Filter.eq("userName", "bjensen@example.com").toString()).invoke(UserResource.class);
			return found.getTotalResults() == 1 ? expect(user.getId(), found.getResources().get(0).getId()) : found.toString();
		});
		check("search, sorted", () -> {
			ListResponse<UserResource> found = scim.searchRequest("Users").sort("userName", SortOrder.DESCENDING).invoke(UserResource.class);
			return expect(List.of("mandy@example.com", "bjensen@example.com"), found.getResources().stream().map(UserResource::getUserName).toList());
		});
		check("search, by pages", () -> {
			Set<String> ids = new HashSet<>();
			for (int start = 1; start <= 2; start++) {
				ListResponse<UserResource> page = scim.searchRequest("Users").page(start, 1).invoke(UserResource.class);
				if (page.getTotalResults() != 2 || page.getItemsPerPage() != 1 || page.getStartIndex() != start) return page.toString();
				page.forEach(u -> ids.add(u.getId()));
			}
			return expect(Set.of(user.getId(), other.getId()), ids);
		});
		check("search by POST", () -> {
			ListResponse<UserResource> found = scim.searchRequest("Users").filter("userName sw \"m\"").invokePost(UserResource.class);
			return expect(1, found.getTotalResults());
		});
		check("search with a filter that is none", () -> {
			try {
				scim.searchRequest("Users").filter("userName eq").invoke(UserResource.class);
				return "found";
			} catch (BadRequestException e) {
				return expect("invalidFilter", e.getScimError().getScimType());
			}
		});
		check("create a group", () -> {
			group = scim.create("Groups", new GroupResource().setDisplayName("Tour Guides").setMembers(List.of(new Member().setValue(user.getId()))));
			return expect(user.getId(), group.getMembers().get(0).getValue());
		});
		check("a user's groups", () -> expect(group.getId(), scim.retrieve("Users", user.getId(), UserResource.class).getGroups().get(0).getValue()));
		check("add a member", () -> {
			scim.modifyRequest(group).addValues("members", new Member().setValue(other.getId())).invoke();
			return expect(2, scim.retrieve(group).getMembers().size());
		});
		check("remove a member", () -> {
			scim.modifyRequest(group).removeValues("members[value eq \"" + user.getId() + "\"]").invoke();
			List<Member> left = scim.retrieve(group).getMembers();
			return left.size() == 1 ? expect(other.getId(), left.get(0).getValue()) : left.toString();
		});
		check("groups of a member", () -> expect(1, scim.searchRequest("Groups").filter("members.value eq \"" + other.getId() + "\"").invoke(GroupResource.class).getTotalResults()));
		check("Me", () -> {
			try {
				scim.retrieve(ScimService.ME_URI, UserResource.class);
				return "there is somebody";
			} catch (NotImplementedException | ResourceNotFoundException e) {
				return null; // RFC 7644 section 3.11 has both
			}
		});
		check("delete", () -> {
			scim.delete(group);
			scim.delete(user);
			scim.delete("Users", other.getId());
			return expect(0, scim.searchRequest("Users").invoke(UserResource.class).getTotalResults());
		});
		check("delete what is not there", () -> {
			try {
				scim.delete("Users", user.getId());
				return "deleted";
			} catch (ResourceNotFoundException e) {
				return null;
			}
		});
	}

	static JsonNode vectors(String name) throws Exception {
		return JsonUtils.getObjectReader().readTree(java.nio.file.Files.readString(new File(System.getenv("SCIM_VECTORS"), name).toPath()));
	}

	static void opinions() throws Exception {
		for (JsonNode u : vectors("users.json")) scim.create("Users", new GenericScimResource((ObjectNode) u));
		List<GenericScimResource> users = scim.searchRequest("Users").invoke(GenericScimResource.class).getResources();
		for (JsonNode filter : vectors("filters.json")) filter(filter.asText(), users);
		GenericScimResource ada = users.stream().filter(u -> "A-1".equals(u.getExternalId())).findFirst().orElseThrow();
		for (JsonNode vector : vectors("patches.json")) patch(ada, vector);
	}

	static List<String> names(Iterable<GenericScimResource> users) {
		List<String> names = new ArrayList<>();
		for (GenericScimResource u : users) names.add(u.getObjectNode().get("userName").asText());
		Collections.sort(names);
		return names;
	}

	static void filter(String filter, List<GenericScimResource> users) {
		String ours, theirs;
		try {
			ours = names(scim.searchRequest("Users").filter(filter).invoke(GenericScimResource.class)).toString();
		} catch (ScimException e) {
			ours = e.getScimError().getStatus() + " " + e.getScimError().getScimType();
		}
		try {
			List<GenericScimResource> selected = new ArrayList<>();
			for (GenericScimResource u : users) {
				if (FilterEvaluator.evaluate(Filter.fromString(filter), u.getObjectNode())) selected.add(u);
			}
			theirs = names(selected).toString();
		} catch (Exception e) {
			theirs = "400 invalidFilter";
		}
		report("filter " + filter, ours.equals(theirs) ? null : "the server says " + ours + ", the library " + theirs);
	}

	static void patch(GenericScimResource base, JsonNode vector) throws Exception {
		ObjectNode copy = base.getObjectNode().deepCopy();
		copy.remove(List.of("id", "meta"));
		copy.put("userName", "patched@example.com").put("externalId", "P-1");
		((ObjectNode) copy.get("emails").get(0)).put("value", "patched@example.com");
		GenericScimResource created = scim.create("Users", new GenericScimResource(copy));
		String ours = null, theirs = null;
		JsonNode after = null, library = null;
		PatchRequest request = null;
		try {
			List<PatchOperation> operations = JsonUtils.getObjectReader().forType(mapper.getTypeFactory().constructCollectionType(List.class, PatchOperation.class))
				.readValue(vector.get("operations"));
			request = new PatchRequest(operations);
			GenericScimResource mine = new GenericScimResource(created.getObjectNode().deepCopy());
			request.apply(mine);
			library = plain(mine.getObjectNode());
		} catch (Exception e) {
			theirs = "refused";
		}
		if (request != null) {
			try {
				scim.modify("Users", created.getId(), request, GenericScimResource.class);
				after = plain(scim.retrieve("Users", created.getId(), GenericScimResource.class).getObjectNode());
			} catch (ScimException e) {
				ours = "refused: " + e.getScimError().getStatus() + " " + e.getScimError().getScimType();
			}
		} else {
			ours = "refused"; // it cannot be said with this library, so there is nothing to compare
		}
		String problem = null;
		if ((ours == null) != (theirs == null)) {
			problem = "the server " + (ours == null ? "does it" : ours) + ", the library " + (theirs == null ? "does it" : theirs);
		} else if (after != null && !after.equals(library)) {
			problem = "the server has " + after + ", the library " + library;
		}
		report("patch: " + vector.get("name").asText(), problem);
		scim.delete("Users", created.getId());
	}

	/** A resource without what the server alone knows. */
	static JsonNode plain(ObjectNode resource) {
		ObjectNode copy = resource.deepCopy();
		copy.remove(List.of("meta", "groups"));
		List<String> schemas = new ArrayList<>();
		copy.get("schemas").forEach(s -> schemas.add(s.asText()));
		Collections.sort(schemas);
		ArrayNode sorted = copy.putArray("schemas");
		schemas.forEach(sorted::add);
		for (Iterator<JsonNode> values = copy.elements(); values.hasNext();) {
			JsonNode v = values.next();
			if (v.isArray() && v.isEmpty() || v.isObject() && v.isEmpty()) values.remove();
		}
		return copy;
	}
}
