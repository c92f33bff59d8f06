-- The tables of sqlstore. Every key begins with whose the row is: tenant and
-- directory. Text is compared as bytes, the collation BINARY.

-- The row that a transaction of the tenant locks, and what it counts.
CREATE TABLE /*schema*/scim_tenants (
	tenant   TEXT NOT NULL PRIMARY KEY,
	seq      INTEGER NOT NULL, -- of the last event
	delivery INTEGER NOT NULL, -- the ID given last
	change   INTEGER NOT NULL  -- of an account, the last
) WITHOUT ROWID;

-- doc is the canonical JSON, search what filters and sorting look at: each value
-- as a text whose bytes compare as the value does. The columns named _key are
-- such texts too, those that an index finds; long ones are digests.
CREATE TABLE /*schema*/scim_resources (
	tenant       TEXT NOT NULL,
	directory    TEXT NOT NULL,
	type         TEXT NOT NULL,
	id           TEXT NOT NULL,
	version      INTEGER NOT NULL,
	created      INTEGER NOT NULL, -- milliseconds since 1970
	modified     INTEGER NOT NULL,
	active       INTEGER,
	user_key     TEXT,
	external_key TEXT,
	display_key  TEXT,
	external_id  TEXT NOT NULL,
	display      TEXT NOT NULL, -- what a member is called by
	display_fold TEXT NOT NULL,
	search       TEXT NOT NULL,
	doc          TEXT NOT NULL,
	PRIMARY KEY (tenant, directory, type, id)
);
CREATE UNIQUE INDEX scim_resources_user ON /*schema*/scim_resources (tenant, directory, type, user_key) WHERE user_key IS NOT NULL;
CREATE UNIQUE INDEX scim_resources_external ON /*schema*/scim_resources (tenant, directory, type, external_key) WHERE external_key IS NOT NULL;
CREATE INDEX scim_resources_display ON /*schema*/scim_resources (tenant, directory, type, display_key, id) WHERE display_key IS NOT NULL;
CREATE INDEX scim_resources_active ON /*schema*/scim_resources (tenant, directory, type, active, id);

-- Values of attributes with many of them, and of those that a schema declares
-- unique.
CREATE TABLE /*schema*/scim_indexed_values (
	tenant    TEXT NOT NULL,
	directory TEXT NOT NULL,
	type      TEXT NOT NULL,
	attribute TEXT NOT NULL,
	key       TEXT NOT NULL,
	id        TEXT NOT NULL,
	sole      INTEGER NOT NULL, -- nobody else may have the value
	PRIMARY KEY (tenant, directory, type, attribute, key, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX scim_indexed_values_only ON /*schema*/scim_indexed_values (tenant, directory, type, attribute, key) WHERE sole;
CREATE INDEX scim_indexed_values_of ON /*schema*/scim_indexed_values (tenant, directory, type, id);

CREATE TABLE /*schema*/scim_members (
	tenant      TEXT NOT NULL,
	directory   TEXT NOT NULL,
	group_id    TEXT NOT NULL,
	member_id   TEXT NOT NULL,
	member_type TEXT NOT NULL,
	PRIMARY KEY (tenant, directory, group_id, member_id, member_type)
) WITHOUT ROWID;
CREATE INDEX scim_members_of ON /*schema*/scim_members (tenant, directory, member_id, group_id);

-- How many resources of a type there are, so that a listing need not count.
CREATE TABLE /*schema*/scim_counts (
	tenant    TEXT NOT NULL,
	directory TEXT NOT NULL,
	type      TEXT NOT NULL,
	resources INTEGER NOT NULL,
	PRIMARY KEY (tenant, directory, type)
) WITHOUT ROWID;

CREATE TABLE /*schema*/scim_accounts (
	tenant         TEXT NOT NULL,
	directory      TEXT NOT NULL,
	user_id        TEXT NOT NULL,
	host_id        TEXT NOT NULL,
	external_id    TEXT NOT NULL,
	email          TEXT NOT NULL,
	active         INTEGER NOT NULL,
	deleted        INTEGER NOT NULL,
	held           TEXT NOT NULL,
	refused_email  TEXT NOT NULL,
	approved_email TEXT NOT NULL,
	grants         TEXT NOT NULL,             -- JSON
	change         INTEGER NOT NULL,           -- which one of the tenant's it was
	gone_external  TEXT,          -- the externalId of a deleted user
	gone_email     TEXT,          -- the folded email of one
	kept_email     TEXT,          -- the folded email, where the user has another one
	PRIMARY KEY (tenant, directory, user_id)
) WITHOUT ROWID;
CREATE INDEX scim_accounts_gone_external ON /*schema*/scim_accounts (tenant, directory, gone_external, change) WHERE gone_external IS NOT NULL;
CREATE INDEX scim_accounts_gone_email ON /*schema*/scim_accounts (tenant, directory, gone_email, change) WHERE gone_email IS NOT NULL;
CREATE INDEX scim_accounts_kept_email ON /*schema*/scim_accounts (tenant, directory, kept_email, change) WHERE kept_email IS NOT NULL;

CREATE TABLE /*schema*/scim_bindings (
	tenant      TEXT NOT NULL,
	directory   TEXT NOT NULL,
	selector    TEXT NOT NULL,
	group_id    TEXT NOT NULL,
	external_id TEXT NOT NULL,
	PRIMARY KEY (tenant, directory, selector)
) WITHOUT ROWID;
CREATE INDEX scim_bindings_of ON /*schema*/scim_bindings (tenant, directory, group_id);

CREATE TABLE /*schema*/scim_events (
	tenant    TEXT NOT NULL,
	seq       INTEGER NOT NULL,
	directory TEXT NOT NULL,
	type      TEXT NOT NULL,
	payload   TEXT NOT NULL, -- JSON
	data      TEXT NOT NULL, -- the subject's document
	previous  TEXT,
	PRIMARY KEY (tenant, seq)
);

-- Calls of Committed that are outstanding.
CREATE TABLE /*schema*/scim_outbox (
	tenant    TEXT NOT NULL,
	id        INTEGER NOT NULL,
	directory TEXT NOT NULL,
	type      TEXT NOT NULL,
	user_id   TEXT NOT NULL,
	change    TEXT NOT NULL,
	since     INTEGER NOT NULL, -- nanoseconds since 1970
	PRIMARY KEY (tenant, id)
) WITHOUT ROWID;

-- The request log. at is when the line was written, in nanoseconds since 1970,
-- different for all that one process writes.
CREATE TABLE /*schema*/scim_requests (
	tenant    TEXT NOT NULL,
	directory TEXT NOT NULL,
	at        INTEGER NOT NULL,
	id        TEXT NOT NULL,
	entry     TEXT NOT NULL, -- JSON
	PRIMARY KEY (tenant, directory, at, id)
) WITHOUT ROWID;
