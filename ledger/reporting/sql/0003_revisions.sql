-- Which row a row with sign -1 takes back: the place of its call's revision that no longer holds. Late truth stands in
-- the stream of what it corrects; a run's revision stands in a stream of its own. Empty and 0 on rows with sign +1.

ALTER TABLE attempts
    ADD COLUMN IF NOT EXISTS of_stream LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS of_seq UInt64 DEFAULT 0 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS of_idx UInt32 DEFAULT 0 CODEC(ZSTD(1));
