-- What the application has: its own table of people.
CREATE TABLE IF NOT EXISTS people (
	id     TEXT PRIMARY KEY,
	org    TEXT NOT NULL,
	email  TEXT NOT NULL,
	name   TEXT NOT NULL,
	roles  TEXT NOT NULL, -- separated by commas
	access BOOLEAN NOT NULL
);
