-- The tables of sqlstore. Every key begins with whose the row is: tenant and
-- directory. What is compared as bytes has the collation "C".

-- The row that a transaction of the tenant locks, and what it counts.
CREATE TABLE /*schema*/scim_tenants (
	tenant   text COLLATE "C" NOT NULL PRIMARY KEY,
	seq      bigint NOT NULL, -- of the last event
	delivery bigint NOT NULL, -- the ID given last
	change   bigint NOT NULL  -- of an account, the last
);

-- doc is the canonical JSON, search what filters and sorting look at: each value
-- as a text whose bytes compare as the value does. The columns named _key are
-- such texts too, those that an index finds; long ones are digests.
CREATE TABLE /*schema*/scim_resources (
	tenant       text COLLATE "C" NOT NULL,
	directory    text COLLATE "C" NOT NULL,
	type         text COLLATE "C" NOT NULL,
	id           text COLLATE "C" NOT NULL,
	version      bigint NOT NULL,
	created      bigint NOT NULL, -- milliseconds since 1970
	modified     bigint NOT NULL,
	active       boolean,
	user_key     text COLLATE "C",
	external_key text COLLATE "C",
	display_key  text COLLATE "C",
	external_id  text NOT NULL,
	display      text NOT NULL, -- what a member is called by
	display_fold text COLLATE "C" NOT NULL,
	search       jsonb NOT NULL,
	doc          text NOT NULL,
	PRIMARY KEY (tenant, directory, type, id)
) WITH (fillfactor = 85); -- most updates change no indexed column
CREATE UNIQUE INDEX scim_resources_user ON /*schema*/scim_resources (tenant, directory, type, user_key) WHERE user_key IS NOT NULL;
CREATE UNIQUE INDEX scim_resources_external ON /*schema*/scim_resources (tenant, directory, type, external_key) WHERE external_key IS NOT NULL;
CREATE INDEX scim_resources_display ON /*schema*/scim_resources (tenant, directory, type, display_key, id) WHERE display_key IS NOT NULL;
CREATE INDEX scim_resources_active ON /*schema*/scim_resources (tenant, directory, type, active, id);

-- Values of attributes with many of them, and of those that a schema declares
-- unique.
CREATE TABLE /*schema*/scim_indexed_values (
	tenant    text COLLATE "C" NOT NULL,
	directory text COLLATE "C" NOT NULL,
	type      text COLLATE "C" NOT NULL,
	attribute text COLLATE "C" NOT NULL,
	key       text COLLATE "C" NOT NULL,
	id        text COLLATE "C" NOT NULL,
	sole      boolean NOT NULL, -- nobody else may have the value
	PRIMARY KEY (tenant, directory, type, attribute, key, id)
);
CREATE UNIQUE INDEX scim_indexed_values_only ON /*schema*/scim_indexed_values (tenant, directory, type, attribute, key) WHERE sole;
CREATE INDEX scim_indexed_values_of ON /*schema*/scim_indexed_values (tenant, directory, type, id);

CREATE TABLE /*schema*/scim_members (
	tenant      text COLLATE "C" NOT NULL,
	directory   text COLLATE "C" NOT NULL,
	group_id    text COLLATE "C" NOT NULL,
	member_id   text COLLATE "C" NOT NULL,
	member_type text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant, directory, group_id, member_id, member_type)
);
CREATE INDEX scim_members_of ON /*schema*/scim_members (tenant, directory, member_id, group_id);

-- How many resources of a type there are, so that a listing need not count.
CREATE TABLE /*schema*/scim_counts (
	tenant    text COLLATE "C" NOT NULL,
	directory text COLLATE "C" NOT NULL,
	type      text COLLATE "C" NOT NULL,
	resources bigint NOT NULL,
	PRIMARY KEY (tenant, directory, type)
);

CREATE TABLE /*schema*/scim_accounts (
	tenant         text COLLATE "C" NOT NULL,
	directory      text COLLATE "C" NOT NULL,
	user_id        text COLLATE "C" NOT NULL,
	host_id        text NOT NULL,
	external_id    text NOT NULL,
	email          text NOT NULL,
	active         boolean NOT NULL,
	deleted        boolean NOT NULL,
	held           text NOT NULL,
	refused_email  text NOT NULL,
	approved_email text NOT NULL,
	grants         text NOT NULL,             -- JSON
	change         bigint NOT NULL,           -- which one of the tenant's it was
	gone_external  text COLLATE "C",          -- the externalId of a deleted user
	gone_email     text COLLATE "C",          -- the folded email of one
	kept_email     text COLLATE "C",          -- the folded email, where the user has another one
	PRIMARY KEY (tenant, directory, user_id)
);
CREATE INDEX scim_accounts_gone_external ON /*schema*/scim_accounts (tenant, directory, gone_external, change) WHERE gone_external IS NOT NULL;
CREATE INDEX scim_accounts_gone_email ON /*schema*/scim_accounts (tenant, directory, gone_email, change) WHERE gone_email IS NOT NULL;
CREATE INDEX scim_accounts_kept_email ON /*schema*/scim_accounts (tenant, directory, kept_email, change) WHERE kept_email IS NOT NULL;

CREATE TABLE /*schema*/scim_bindings (
	tenant      text COLLATE "C" NOT NULL,
	directory   text COLLATE "C" NOT NULL,
	selector    text COLLATE "C" NOT NULL,
	group_id    text COLLATE "C" NOT NULL,
	external_id text NOT NULL,
	PRIMARY KEY (tenant, directory, selector)
);
CREATE INDEX scim_bindings_of ON /*schema*/scim_bindings (tenant, directory, group_id);

CREATE TABLE /*schema*/scim_events (
	tenant    text COLLATE "C" NOT NULL,
	seq       bigint NOT NULL,
	directory text COLLATE "C" NOT NULL,
	type      text COLLATE "C" NOT NULL,
	payload   text NOT NULL, -- JSON
	data      text NOT NULL, -- the subject's document
	previous  text,
	PRIMARY KEY (tenant, seq)
);

-- Calls of Committed that are outstanding.
CREATE TABLE /*schema*/scim_outbox (
	tenant    text COLLATE "C" NOT NULL,
	id        bigint NOT NULL,
	directory text COLLATE "C" NOT NULL,
	type      text COLLATE "C" NOT NULL,
	user_id   text COLLATE "C" NOT NULL,
	change    text NOT NULL,
	since     bigint NOT NULL, -- nanoseconds since 1970
	PRIMARY KEY (tenant, id)
);

-- The request log. at is when the line was written, in nanoseconds since 1970,
-- different for all that one process writes.
CREATE TABLE /*schema*/scim_requests (
	tenant    text COLLATE "C" NOT NULL,
	directory text COLLATE "C" NOT NULL,
	at        bigint NOT NULL,
	id        text COLLATE "C" NOT NULL,
	entry     text NOT NULL, -- JSON
	PRIMARY KEY (tenant, directory, at, id)
);
