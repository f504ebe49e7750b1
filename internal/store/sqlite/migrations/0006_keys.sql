-- What messages are recognised by, from here on; see keyrun.go. keys has the rows of before until they have run out.

-- What was remembered last: a row for each time, in no order within, later rows counting more.
CREATE TABLE key_news (
    id      INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

-- A run is some of what was remembered before, by place. Its blocks have the upper bits of their places in their ids.
CREATE TABLE key_runs (
    id     INTEGER PRIMARY KEY CHECK (id > 0),
    level  INTEGER NOT NULL CHECK (level BETWEEN 1 AND 6),
    age    INTEGER NOT NULL, -- a higher one is newer, within a level
    bits   INTEGER NOT NULL CHECK (bits BETWEEN 8 AND 24),
    keys   INTEGER NOT NULL, -- how many it got
    half   INTEGER NOT NULL, -- when about half of them have run out
    target INTEGER NOT NULL, -- the run that it is merged into; 0 = none
    done   INTEGER NOT NULL  -- how many of its shards are there; less than all while others are merged into it
) STRICT;

-- A table for each level, because rows that go to the end of a table fill its pages.
CREATE TABLE key_blocks1 (id INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE key_blocks2 (id INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE key_blocks3 (id INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE key_blocks4 (id INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE key_blocks5 (id INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE key_blocks6 (id INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;

-- What tells for most places that a shard of a run has them not.
CREATE TABLE key_filters (id INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;

-- Where in a run a place is depends on a number that only this store has: see keyMemory.spot.
INSERT INTO meta (name, value) VALUES ('spread', randomblob(8));
