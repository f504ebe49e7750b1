-- The request and the payload of a message in one blob, compressed; see content.go and compress.go. Rows from before have NULL here
-- and the other columns filled; new rows have an empty payload there, which is what their CHECKs allow.
ALTER TABLE payloads ADD COLUMN packed BLOB;

-- What the messages of a source, or those published to an application, have in common: they are compressed against it. A row
-- stays, because payloads name it.
CREATE TABLE dictionaries (
    id      INTEGER PRIMARY KEY,
    stream  INTEGER NOT NULL, -- the source, or the application
    content BLOB NOT NULL
) STRICT;
