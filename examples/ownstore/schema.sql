-- What the application had before it knew SCIM.

CREATE TABLE users (
	id         INTEGER PRIMARY KEY,
	org        TEXT NOT NULL,
	login      TEXT NOT NULL,
	email      TEXT NOT NULL DEFAULT '',
	name       TEXT NOT NULL DEFAULT '',
	is_admin   BOOLEAN NOT NULL DEFAULT FALSE,
	has_access BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE TABLE teams (
	id   INTEGER PRIMARY KEY,
	org  TEXT NOT NULL,
	name TEXT NOT NULL DEFAULT ''
);

CREATE TABLE team_members (
	team_id INTEGER NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
	user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	PRIMARY KEY (team_id, user_id)
);

CREATE TABLE sessions (
	token   TEXT PRIMARY KEY,
	user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX sessions_user ON sessions (user_id);
