CREATE TABLE event_types (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    archived INTEGER NOT NULL CHECK (archived IN (0, 1)),
    doc      TEXT NOT NULL,
    created  INTEGER
) STRICT;

-- The application of the operator's own endpoints, hook.Operational.
INSERT INTO applications (id, uid, doc, created) VALUES (1, NULL, '{"name":"operational"}', NULL);

ALTER TABLE messages ADD COLUMN deliver_at INTEGER;    -- when its deliveries fell due, if not at once
ALTER TABLE messages ADD COLUMN content_until INTEGER; -- when its payload goes before its time; NULL once it has gone
CREATE INDEX messages_content ON messages (content_until) WHERE content_until IS NOT NULL;

-- Answers that are kept for requests that come again. What was answered may hold secrets, so the body is sealed.
CREATE TABLE receipts (
    id      INTEGER PRIMARY KEY,
    key     BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
    expires INTEGER NOT NULL,
    status  INTEGER NOT NULL,
    body    BLOB NOT NULL
) STRICT;
CREATE INDEX receipts_expires ON receipts (expires);
