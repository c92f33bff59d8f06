-- What SCIM adds. A row without directory is one that no identity provider
-- manages: provisioning neither sees nor changes it.

ALTER TABLE users ADD COLUMN directory TEXT;
ALTER TABLE users ADD COLUMN scim_id TEXT;     -- by which the provider calls the row
ALTER TABLE users ADD COLUMN external_id TEXT; -- by which it calls its own, NULL for none
ALTER TABLE users ADD COLUMN login_key TEXT;   -- login as it is compared
ALTER TABLE users ADD COLUMN scim TEXT;        -- attributes that have no column, as JSON
ALTER TABLE users ADD COLUMN version INTEGER;
ALTER TABLE users ADD COLUMN created INTEGER;  -- Unix milliseconds
ALTER TABLE users ADD COLUMN modified INTEGER;

CREATE UNIQUE INDEX users_scim_id ON users (org, directory, scim_id);
CREATE UNIQUE INDEX users_login ON users (org, directory, login_key);
CREATE UNIQUE INDEX users_external_id ON users (org, directory, external_id);

ALTER TABLE teams ADD COLUMN directory TEXT;
ALTER TABLE teams ADD COLUMN scim_id TEXT;
ALTER TABLE teams ADD COLUMN external_id TEXT;
ALTER TABLE teams ADD COLUMN scim TEXT;
ALTER TABLE teams ADD COLUMN version INTEGER;
ALTER TABLE teams ADD COLUMN created INTEGER;
ALTER TABLE teams ADD COLUMN modified INTEGER;

CREATE UNIQUE INDEX teams_scim_id ON teams (org, directory, scim_id);
CREATE UNIQUE INDEX teams_external_id ON teams (org, directory, external_id);

-- What providers manage, both types in one shape.
CREATE VIEW provisioned AS
	SELECT 'User' AS type, org, directory, scim_id, version, created, modified, scim, external_id, name, login, login_key FROM users
	UNION ALL
	SELECT 'Group', org, directory, scim_id, version, created, modified, scim, external_id, name, '', NULL FROM teams;
