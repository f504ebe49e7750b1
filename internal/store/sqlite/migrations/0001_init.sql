-- Times are Unix milliseconds, durations microseconds, ids the 64-bit numbers of hook.ID. 0 stands for "none" in an id,
-- NULL in a time or a text. A doc is the JSON of what is only ever read whole; secrets are sealed.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row. pending is the present number, the others are every delivery by its present state and every message ever taken.
CREATE TABLE counts (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    messages  INTEGER NOT NULL CHECK (messages >= 0),
    pending   INTEGER NOT NULL CHECK (pending >= 0),
    delivered INTEGER NOT NULL CHECK (delivered >= 0),
    failed    INTEGER NOT NULL CHECK (failed >= 0),
    canceled  INTEGER NOT NULL CHECK (canceled >= 0),
    highest   INTEGER NOT NULL CHECK (highest >= 0) -- the highest id that any stored thing ever had
) STRICT;
INSERT INTO counts VALUES (1, 0, 0, 0, 0, 0, 0);

CREATE TABLE applications (
    id      INTEGER PRIMARY KEY CHECK (id > 0),
    uid     TEXT,
    doc     TEXT NOT NULL,
    created INTEGER
) STRICT;
CREATE UNIQUE INDEX applications_uid ON applications (uid) WHERE uid IS NOT NULL;

CREATE TABLE profiles (
    id      INTEGER PRIMARY KEY CHECK (id > 0),
    uid     TEXT,
    doc     TEXT NOT NULL,
    secrets BLOB NOT NULL,
    created INTEGER
) STRICT;
CREATE UNIQUE INDEX profiles_uid ON profiles (uid) WHERE uid IS NOT NULL;

CREATE TABLE sources (
    id      INTEGER PRIMARY KEY CHECK (id > 0),
    app     INTEGER NOT NULL,
    uid     TEXT,
    profile INTEGER NOT NULL,
    doc     TEXT NOT NULL,
    secrets BLOB NOT NULL,
    created INTEGER
) STRICT;
CREATE INDEX sources_app ON sources (app);
CREATE INDEX sources_profile ON sources (profile) WHERE profile <> 0;
CREATE UNIQUE INDEX sources_uid ON sources (app, uid) WHERE uid IS NOT NULL;

CREATE TABLE doors (
    door   TEXT PRIMARY KEY,
    source INTEGER NOT NULL,
    until  INTEGER -- NULL for the present door of its source
) STRICT, WITHOUT ROWID;
CREATE INDEX doors_source ON doors (source);

CREATE TABLE endpoints (
    id              INTEGER PRIMARY KEY CHECK (id > 0),
    app             INTEGER NOT NULL,
    uid             TEXT,
    profile         INTEGER NOT NULL,
    lane            INTEGER NOT NULL,
    disabled        INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    disabled_reason TEXT NOT NULL,
    failing_since   INTEGER,
    doc             TEXT NOT NULL,
    secrets         BLOB NOT NULL,
    created         INTEGER
) STRICT;
CREATE INDEX endpoints_app ON endpoints (app);
CREATE INDEX endpoints_profile ON endpoints (profile) WHERE profile <> 0;
CREATE UNIQUE INDEX endpoints_uid ON endpoints (app, uid) WHERE uid IS NOT NULL;

-- A lane holds the pending deliveries of an endpoint. Disabling or deleting the endpoint closes its lane, which cancels all
-- of them at once, whatever their number; their rows are rewritten later, in bounded steps.
CREATE TABLE lanes (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint INTEGER NOT NULL,
    pending  INTEGER NOT NULL CHECK (pending >= 0),
    open     INTEGER NOT NULL CHECK (open IN (0, 1))
) STRICT;
CREATE INDEX lanes_closed ON lanes (id) WHERE open = 0;

CREATE TABLE tokens (
    id      INTEGER PRIMARY KEY CHECK (id > 0),
    hash    BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    app     INTEGER NOT NULL,
    doc     TEXT NOT NULL,
    created INTEGER,
    expires INTEGER
) STRICT;
CREATE INDEX tokens_expires ON tokens (expires) WHERE expires IS NOT NULL;
CREATE INDEX tokens_app ON tokens (app);

CREATE TABLE messages (
    id         INTEGER PRIMARY KEY CHECK (id > 0),
    app        INTEGER NOT NULL,
    source     INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    event_id   TEXT,
    envelope   BLOB, -- channels, tags, platform map, why unreadable; NULL when all are empty
    created    INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_app ON messages (app);
CREATE INDEX messages_type ON messages (app, event_type);
CREATE INDEX messages_event ON messages (app, event_id) WHERE event_id IS NOT NULL;

-- What retention may take before the message. A payload that is a part of the body of the request is stored as that
-- part's place (at, size) and not twice.
CREATE TABLE payloads (
    message INTEGER PRIMARY KEY,
    format  INTEGER NOT NULL CHECK (format = 0), -- how the blobs are written; 0 = as they are
    head    BLOB, -- method, query and headers of the request; NULL when the message was published
    body    BLOB,
    payload BLOB, -- NULL when it lies in the body
    at      INTEGER,
    size    INTEGER,
    CHECK ((payload IS NULL) = (at IS NOT NULL) AND (at IS NULL) = (size IS NULL)),
    CHECK (at IS NULL OR body IS NOT NULL AND at >= 0 AND size >= 0 AND at + size <= length(body))
) STRICT;

-- hook.State: 0 pending, 1 delivered, 2 failed, 3 canceled. A row that is 0 in a closed lane is canceled too.
CREATE TABLE deliveries (
    message  INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    state    INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    next_at  INTEGER,
    CHECK ((state = 0) = (next_at IS NOT NULL)),
    PRIMARY KEY (message, endpoint)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (lane, next_at) WHERE state = 0;

CREATE TABLE attempts (
    id         INTEGER PRIMARY KEY CHECK (id > 0),
    app        INTEGER NOT NULL,
    message    INTEGER NOT NULL,
    endpoint   INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    url        TEXT NOT NULL,
    n          INTEGER NOT NULL CHECK (n >= 0),
    manual     INTEGER NOT NULL CHECK (manual IN (0, 1)),
    started    INTEGER NOT NULL,
    duration   INTEGER NOT NULL CHECK (duration >= 0),
    status     INTEGER NOT NULL CHECK (status BETWEEN 0 AND 999),
    verdict    INTEGER NOT NULL CHECK (verdict BETWEEN 0 AND 3),
    reason     TEXT NOT NULL,
    response   BLOB,
    next_at    INTEGER
) STRICT;
CREATE INDEX attempts_message ON attempts (message);
CREATE INDEX attempts_endpoint ON attempts (endpoint);
CREATE INDEX attempts_failed ON attempts (endpoint) WHERE verdict <> 0;

-- Wishes for one more attempt, until it is made. Their ids are never used again.
CREATE TABLE resends (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    message  INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    wished   INTEGER NOT NULL
) STRICT;
CREATE INDEX resends_endpoint ON resends (endpoint);
CREATE INDEX resends_message ON resends (message);

-- What a repeated message is recognised by. hash finds the row, full decides: two keys of one hash stay two keys.
CREATE TABLE keys (
    id      INTEGER PRIMARY KEY,
    hash    INTEGER NOT NULL,
    full    BLOB NOT NULL,
    message INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX keys_hash ON keys (hash);
CREATE INDEX keys_expires ON keys (expires);

CREATE TABLE refusals (
    id      INTEGER PRIMARY KEY,
    source  INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    reason  TEXT NOT NULL,
    detail  TEXT NOT NULL,
    remote  TEXT NOT NULL,
    request BLOB NOT NULL
) STRICT;
CREATE INDEX refusals_source ON refusals (source);
