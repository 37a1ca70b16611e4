-- Reporting schema 1, the same for a ClickHouse server and the embedded engine. Statements end with a semicolon at
-- a line's end. Durations are microseconds. Amounts are exact decimals. Corrections come as pairs of rows, sign -1
-- for what no longer holds and +1 for what does, so that sums and rollups are right without FINAL.

CREATE TABLE IF NOT EXISTS schema_versions
(
    version     UInt32,
    -- Changes when the database is made anew: loaders that knew another one start from the beginning.
    incarnation UUID,
    applied     DateTime64(3, 'UTC')
)
ENGINE = MergeTree ORDER BY version;

-- One row per attempt with both sides. What belongs to the call as a whole (sell side, its result, its talk time)
-- stands on the row with is_final = 1 and is zero on the others. A call that was tried at no vendor has one row with
-- tried = 0.
CREATE TABLE IF NOT EXISTS attempts
(
    site            LowCardinality(String) CODEC(ZSTD(1)),
    stream          LowCardinality(String) CODEC(ZSTD(1)),
    seq             UInt64 CODEC(Delta(8), ZSTD(1)),
    idx             UInt32 CODEC(ZSTD(1)),
    sign            Int8 CODEC(ZSTD(1)),
    call_id         FixedString(16) CODEC(NONE),
    attempt         UInt16 CODEC(ZSTD(1)),
    is_final        UInt8 CODEC(ZSTD(1)),
    tried           UInt8 CODEC(ZSTD(1)),
    estimated       UInt8 CODEC(ZSTD(1)),
    started         DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    switch          LowCardinality(String) CODEC(ZSTD(1)),
    caller          String CODEC(ZSTD(1)),
    called          String CODEC(ZSTD(1)),

    customer        LowCardinality(String) CODEC(ZSTD(1)),
    sell_product    LowCardinality(String) CODEC(ZSTD(1)),
    destination     LowCardinality(String) CODEC(ZSTD(1)),
    in_trunk        LowCardinality(String) CODEC(ZSTD(1)),
    answered        UInt8 CODEC(ZSTD(1)),
    code            UInt16 CODEC(ZSTD(1)),
    talk_us         Int64 CODEC(ZSTD(1)),
    -- -1: not known
    pdd_us          Int64 CODEC(ZSTD(1)),
    billed_sell_us  Int64 CODEC(ZSTD(1)),
    sell_amount     Decimal(38, 12) CODEC(ZSTD(1)),
    -- Tax of prepaid calls that are charged gross; 0 else.
    sell_tax        Decimal(38, 12) CODEC(ZSTD(1)),
    sell_currency   LowCardinality(String) CODEC(ZSTD(1)),
    -- Per minute, of the following intervals, in the deck's currency.
    sell_rate       Decimal(18, 10) CODEC(ZSTD(1)),
    -- Why there is no price yet; the amount is provisional then. Empty: rated.
    sell_unrated    LowCardinality(String) CODEC(ZSTD(1)),

    vendor          LowCardinality(String) CODEC(ZSTD(1)),
    buy_product     LowCardinality(String) CODEC(ZSTD(1)),
    buy_destination LowCardinality(String) CODEC(ZSTD(1)),
    out_trunk       LowCardinality(String) CODEC(ZSTD(1)),
    leg_answered    UInt8 CODEC(ZSTD(1)),
    leg_code        UInt16 CODEC(ZSTD(1)),
    leg_talk_us     Int64 CODEC(ZSTD(1)),
    leg_pdd_us      Int64 CODEC(ZSTD(1)),
    billed_buy_us   Int64 CODEC(ZSTD(1)),
    buy_amount      Decimal(38, 12) CODEC(ZSTD(1)),
    buy_currency    LowCardinality(String) CODEC(ZSTD(1)),
    buy_rate        Decimal(18, 10) CODEC(ZSTD(1)),
    buy_unrated     LowCardinality(String) CODEC(ZSTD(1)),

    INDEX i_called  called  TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX i_caller  caller  TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX i_call    call_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX i_started started TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(started)
ORDER BY (customer, toStartOfHour(started), destination, vendor, started)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Reseller levels beyond our direct customer or vendor: one narrow row each.
CREATE TABLE IF NOT EXISTS levels
(
    site        LowCardinality(String) CODEC(ZSTD(1)),
    stream      LowCardinality(String) CODEC(ZSTD(1)),
    seq         UInt64 CODEC(Delta(8), ZSTD(1)),
    idx         UInt32 CODEC(ZSTD(1)),
    sign        Int8 CODEC(ZSTD(1)),
    call_id     FixedString(16) CODEC(NONE),
    side        LowCardinality(String) CODEC(ZSTD(1)),
    level       UInt8 CODEC(ZSTD(1)),
    started     DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    account     LowCardinality(String) CODEC(ZSTD(1)),
    product     LowCardinality(String) CODEC(ZSTD(1)),
    destination LowCardinality(String) CODEC(ZSTD(1)),
    billed_us   Int64 CODEC(ZSTD(1)),
    amount      Decimal(38, 12) CODEC(ZSTD(1)),
    tax         Decimal(38, 12) CODEC(ZSTD(1)),
    currency    LowCardinality(String) CODEC(ZSTD(1)),
    rate        Decimal(18, 10) CODEC(ZSTD(1)),
    unrated     LowCardinality(String) CODEC(ZSTD(1)),

    INDEX i_call call_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(started)
ORDER BY (account, toStartOfHour(started), destination, started)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;
