-- What package directory keeps, and what the rules about seats, administrators
-- and switched off provisioning need of accounts.

ALTER TABLE /*schema*/scim_tenants ADD COLUMN tally text; -- JSON; null: nothing was counted

ALTER TABLE /*schema*/scim_accounts
	ADD COLUMN more text,                              -- JSON: what few accounts have
	ADD COLUMN waiting boolean NOT NULL DEFAULT false, -- it is not what the directory says
	ADD COLUMN email_key text COLLATE "C",             -- the folded email
	ADD COLUMN host_key text COLLATE "C";              -- the host's own id
ALTER TABLE /*schema*/scim_accounts SET (fillfactor = 85); -- most updates change no indexed column
CREATE INDEX scim_accounts_waiting ON /*schema*/scim_accounts (tenant, directory, user_id) WHERE waiting;
CREATE INDEX scim_accounts_email ON /*schema*/scim_accounts (tenant, email_key, directory, user_id) WHERE email_key IS NOT NULL;
CREATE INDEX scim_accounts_host ON /*schema*/scim_accounts (tenant, host_key, directory, user_id) WHERE host_key IS NOT NULL;
UPDATE /*schema*/scim_accounts SET waiting = true WHERE held <> '';

-- Directories, tokens, domains and the like: a document under a key.
CREATE TABLE /*schema*/scim_records (
	tenant  text COLLATE "C" NOT NULL,
	kind    text COLLATE "C" NOT NULL,
	id      text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	data    text NOT NULL, -- JSON
	PRIMARY KEY (tenant, kind, id)
);

-- Names that one tenant has of all: the only key that does not begin with one.
CREATE TABLE /*schema*/scim_claims (
	name   text COLLATE "C" NOT NULL PRIMARY KEY,
	tenant text COLLATE "C" NOT NULL
);
