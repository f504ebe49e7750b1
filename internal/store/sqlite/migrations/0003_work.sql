-- The deliveries of an endpoint by the UTC day of their message, counted from the day of hook.Epoch (2024-01-01). A row is
-- what a scan of the deliveries would find. It has no CHECK on purpose: a figure must never keep an outcome from being kept.
CREATE TABLE days (
    endpoint  INTEGER NOT NULL,
    day       INTEGER NOT NULL,
    pending   INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    canceled  INTEGER NOT NULL,
    PRIMARY KEY (endpoint, day)
) STRICT, WITHOUT ROWID;
INSERT INTO days
    SELECT d.endpoint, (d.message >> 22) / 86400000, sum(d.state = 0 AND d.lane = e.lane), sum(d.state = 1), sum(d.state = 2),
        sum(d.state = 3 OR d.state = 0 AND d.lane <> e.lane)
    FROM deliveries d JOIN endpoints e ON e.id = d.endpoint GROUP BY 1, 2;

-- What failed at an endpoint, by message: for lists of it and for recovering it.
CREATE INDEX deliveries_failed ON deliveries (endpoint, message) WHERE state = 2;

-- Readers of polled endpoints: the last message that one has, the last that it was given, and until when.
CREATE TABLE consumers (
    endpoint INTEGER NOT NULL,
    name     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    leased   INTEGER NOT NULL,
    until    INTEGER,
    PRIMARY KEY (endpoint, name)
) STRICT, WITHOUT ROWID;

-- Work in steps. place is the message or application that was looked at last, and last the one that the work ends with; both
-- are written in the commit of the step. content is the payload of a broadcast.
CREATE TABLE tasks (
    id       INTEGER PRIMARY KEY CHECK (id > 0),
    kind     TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('running', 'finished', 'failed')),
    reason   TEXT NOT NULL,
    app      INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    place    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    looked   INTEGER NOT NULL CHECK (looked >= 0),
    done     INTEGER NOT NULL CHECK (done BETWEEN 0 AND looked),
    doc      TEXT NOT NULL,
    content  BLOB,
    created  INTEGER,
    updated  INTEGER NOT NULL
) STRICT;
CREATE INDEX tasks_running ON tasks (id) WHERE state = 'running';
CREATE INDEX tasks_ended ON tasks (updated) WHERE state <> 'running';
CREATE INDEX tasks_app ON tasks (app);
