-- What package directory keeps, and what the rules about seats, administrators
-- and switched off provisioning need of accounts.

ALTER TABLE /*schema*/scim_tenants ADD COLUMN tally TEXT; -- JSON; null: nothing was counted

ALTER TABLE /*schema*/scim_accounts ADD COLUMN more TEXT; -- JSON: what few accounts have
ALTER TABLE /*schema*/scim_accounts ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0; -- it is not what the directory says
ALTER TABLE /*schema*/scim_accounts ADD COLUMN email_key TEXT; -- the folded email
ALTER TABLE /*schema*/scim_accounts ADD COLUMN host_key TEXT; -- the host's own id
CREATE INDEX scim_accounts_waiting ON /*schema*/scim_accounts (tenant, directory, user_id) WHERE waiting;
CREATE INDEX scim_accounts_email ON /*schema*/scim_accounts (tenant, email_key, directory, user_id) WHERE email_key IS NOT NULL;
CREATE INDEX scim_accounts_host ON /*schema*/scim_accounts (tenant, host_key, directory, user_id) WHERE host_key IS NOT NULL;
UPDATE /*schema*/scim_accounts SET waiting = true WHERE held <> '';

-- Directories, tokens, domains and the like: a document under a key.
CREATE TABLE /*schema*/scim_records (
	tenant  TEXT NOT NULL,
	kind    TEXT NOT NULL,
	id      TEXT NOT NULL,
	version INTEGER NOT NULL,
	data    TEXT NOT NULL, -- JSON
	PRIMARY KEY (tenant, kind, id)
) WITHOUT ROWID;

-- Names that one tenant has of all: the only key that does not begin with one.
CREATE TABLE /*schema*/scim_claims (
	name   TEXT NOT NULL PRIMARY KEY,
	tenant TEXT NOT NULL
) WITHOUT ROWID;
