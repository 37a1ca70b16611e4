-- Hourly rollups, filled as rows arrive. Every figure is multiplied by the row's sign. The result code is part of the
-- key, so that the list of causes that count for NER can change at any time. The wide ones answer filters,
-- the narrow ones the whole reports.

CREATE TABLE IF NOT EXISTS calls_hourly
(
    hour                DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    site                LowCardinality(String) CODEC(ZSTD(1)),
    customer            LowCardinality(String) CODEC(ZSTD(1)),
    destination         LowCardinality(String) CODEC(ZSTD(1)),
    sell_currency       LowCardinality(String) CODEC(ZSTD(1)),
    buy_currency        LowCardinality(String) CODEC(ZSTD(1)),
    result              UInt16 CODEC(ZSTD(1)),
    calls_n             Int64 CODEC(ZSTD(1)),
    answered_n          Int64 CODEC(ZSTD(1)),
    talk_sum            Int64 CODEC(ZSTD(1)),
    billed_sell_sum     Int64 CODEC(ZSTD(1)),
    billed_buy_sum      Int64 CODEC(ZSTD(1)),
    pdd_sum             Int64 CODEC(ZSTD(1)),
    pdd_n               Int64 CODEC(ZSTD(1)),
    revenue             Decimal(38, 12) CODEC(ZSTD(1)),
    cost                Decimal(38, 12) CODEC(ZSTD(1)),
    revenue_provisional Decimal(38, 12) CODEC(ZSTD(1)),
    cost_provisional    Decimal(38, 12) CODEC(ZSTD(1))
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (customer, destination, hour, sell_currency, buy_currency, result, site)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS calls_hourly_fill TO calls_hourly AS
SELECT
    toStartOfHour(started, 'UTC') AS hour,
    site, customer, destination, sell_currency, buy_currency,
    if(is_final = 1, code, 0) AS result,
    sum(sign * is_final) AS calls_n,
    sum(sign * answered) AS answered_n,
    sum(sign * talk_us) AS talk_sum,
    sum(sign * billed_sell_us) AS billed_sell_sum,
    sum(sign * billed_buy_us) AS billed_buy_sum,
    sum(if(is_final = 1 AND pdd_us >= 0, sign * pdd_us, 0)) AS pdd_sum,
    sum(if(is_final = 1 AND pdd_us >= 0, sign, 0)) AS pdd_n,
    sum(sign * sell_amount) AS revenue,
    sum(sign * buy_amount) AS cost,
    sum(if(sell_unrated = '', toDecimal128(0, 12), sign * sell_amount)) AS revenue_provisional,
    sum(if(buy_unrated = '', toDecimal128(0, 12), sign * buy_amount)) AS cost_provisional
FROM attempts
GROUP BY hour, site, customer, destination, sell_currency, buy_currency, result;

-- Without destinations: a few rows an hour, for the reports by customer and by hour.
CREATE TABLE IF NOT EXISTS by_customer_hourly
(
    hour                DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    site                LowCardinality(String) CODEC(ZSTD(1)),
    customer            LowCardinality(String) CODEC(ZSTD(1)),
    sell_currency       LowCardinality(String) CODEC(ZSTD(1)),
    buy_currency        LowCardinality(String) CODEC(ZSTD(1)),
    result              UInt16 CODEC(ZSTD(1)),
    calls_n             Int64 CODEC(ZSTD(1)),
    answered_n          Int64 CODEC(ZSTD(1)),
    talk_sum            Int64 CODEC(ZSTD(1)),
    billed_sell_sum     Int64 CODEC(ZSTD(1)),
    billed_buy_sum      Int64 CODEC(ZSTD(1)),
    pdd_sum             Int64 CODEC(ZSTD(1)),
    pdd_n               Int64 CODEC(ZSTD(1)),
    revenue             Decimal(38, 12) CODEC(ZSTD(1)),
    cost                Decimal(38, 12) CODEC(ZSTD(1)),
    revenue_provisional Decimal(38, 12) CODEC(ZSTD(1)),
    cost_provisional    Decimal(38, 12) CODEC(ZSTD(1))
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (customer, hour, sell_currency, buy_currency, result, site)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS by_customer_hourly_fill TO by_customer_hourly AS
SELECT
    toStartOfHour(started, 'UTC') AS hour,
    site, customer, sell_currency, buy_currency,
    if(is_final = 1, code, 0) AS result,
    sum(sign * is_final) AS calls_n,
    sum(sign * answered) AS answered_n,
    sum(sign * talk_us) AS talk_sum,
    sum(sign * billed_sell_us) AS billed_sell_sum,
    sum(sign * billed_buy_us) AS billed_buy_sum,
    sum(if(is_final = 1 AND pdd_us >= 0, sign * pdd_us, 0)) AS pdd_sum,
    sum(if(is_final = 1 AND pdd_us >= 0, sign, 0)) AS pdd_n,
    sum(sign * sell_amount) AS revenue,
    sum(sign * buy_amount) AS cost,
    sum(if(sell_unrated = '', toDecimal128(0, 12), sign * sell_amount)) AS revenue_provisional,
    sum(if(buy_unrated = '', toDecimal128(0, 12), sign * buy_amount)) AS cost_provisional
FROM attempts
GROUP BY hour, site, customer, sell_currency, buy_currency, result;

-- Without customers, for the report by destination.
CREATE TABLE IF NOT EXISTS by_destination_hourly
(
    hour                DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    site                LowCardinality(String) CODEC(ZSTD(1)),
    destination         LowCardinality(String) CODEC(ZSTD(1)),
    sell_currency       LowCardinality(String) CODEC(ZSTD(1)),
    buy_currency        LowCardinality(String) CODEC(ZSTD(1)),
    result              UInt16 CODEC(ZSTD(1)),
    calls_n             Int64 CODEC(ZSTD(1)),
    answered_n          Int64 CODEC(ZSTD(1)),
    talk_sum            Int64 CODEC(ZSTD(1)),
    billed_sell_sum     Int64 CODEC(ZSTD(1)),
    billed_buy_sum      Int64 CODEC(ZSTD(1)),
    pdd_sum             Int64 CODEC(ZSTD(1)),
    pdd_n               Int64 CODEC(ZSTD(1)),
    revenue             Decimal(38, 12) CODEC(ZSTD(1)),
    cost                Decimal(38, 12) CODEC(ZSTD(1)),
    revenue_provisional Decimal(38, 12) CODEC(ZSTD(1)),
    cost_provisional    Decimal(38, 12) CODEC(ZSTD(1))
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (destination, hour, sell_currency, buy_currency, result, site)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS by_destination_hourly_fill TO by_destination_hourly AS
SELECT
    toStartOfHour(started, 'UTC') AS hour,
    site, destination, sell_currency, buy_currency,
    if(is_final = 1, code, 0) AS result,
    sum(sign * is_final) AS calls_n,
    sum(sign * answered) AS answered_n,
    sum(sign * talk_us) AS talk_sum,
    sum(sign * billed_sell_us) AS billed_sell_sum,
    sum(sign * billed_buy_us) AS billed_buy_sum,
    sum(if(is_final = 1 AND pdd_us >= 0, sign * pdd_us, 0)) AS pdd_sum,
    sum(if(is_final = 1 AND pdd_us >= 0, sign, 0)) AS pdd_n,
    sum(sign * sell_amount) AS revenue,
    sum(sign * buy_amount) AS cost,
    sum(if(sell_unrated = '', toDecimal128(0, 12), sign * sell_amount)) AS revenue_provisional,
    sum(if(buy_unrated = '', toDecimal128(0, 12), sign * buy_amount)) AS cost_provisional
FROM attempts
GROUP BY hour, site, destination, sell_currency, buy_currency, result;

CREATE TABLE IF NOT EXISTS vendors_hourly
(
    hour                DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    site                LowCardinality(String) CODEC(ZSTD(1)),
    vendor              LowCardinality(String) CODEC(ZSTD(1)),
    destination         LowCardinality(String) CODEC(ZSTD(1)),
    sell_currency       LowCardinality(String) CODEC(ZSTD(1)),
    buy_currency        LowCardinality(String) CODEC(ZSTD(1)),
    result              UInt16 CODEC(ZSTD(1)),
    calls_n             Int64 CODEC(ZSTD(1)),
    answered_n          Int64 CODEC(ZSTD(1)),
    talk_sum            Int64 CODEC(ZSTD(1)),
    billed_sell_sum     Int64 CODEC(ZSTD(1)),
    billed_buy_sum      Int64 CODEC(ZSTD(1)),
    pdd_sum             Int64 CODEC(ZSTD(1)),
    pdd_n               Int64 CODEC(ZSTD(1)),
    revenue             Decimal(38, 12) CODEC(ZSTD(1)),
    cost                Decimal(38, 12) CODEC(ZSTD(1)),
    revenue_provisional Decimal(38, 12) CODEC(ZSTD(1)),
    cost_provisional    Decimal(38, 12) CODEC(ZSTD(1))
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (vendor, destination, hour, sell_currency, buy_currency, result, site)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS vendors_hourly_fill TO vendors_hourly AS
SELECT
    toStartOfHour(started, 'UTC') AS hour,
    site, vendor, destination, sell_currency, buy_currency,
    leg_code AS result,
    sum(sign * tried) AS calls_n,
    sum(sign * leg_answered) AS answered_n,
    sum(sign * leg_talk_us) AS talk_sum,
    sum(sign * billed_sell_us) AS billed_sell_sum,
    sum(sign * billed_buy_us) AS billed_buy_sum,
    sum(if(leg_pdd_us >= 0, sign * leg_pdd_us, 0)) AS pdd_sum,
    sum(if(leg_pdd_us >= 0, sign, 0)) AS pdd_n,
    sum(sign * sell_amount) AS revenue,
    sum(sign * buy_amount) AS cost,
    sum(if(sell_unrated = '', toDecimal128(0, 12), sign * sell_amount)) AS revenue_provisional,
    sum(if(buy_unrated = '', toDecimal128(0, 12), sign * buy_amount)) AS cost_provisional
FROM attempts
WHERE tried = 1
GROUP BY hour, site, vendor, destination, sell_currency, buy_currency, result;

-- Without destinations, for the report by vendor.
CREATE TABLE IF NOT EXISTS by_vendor_hourly
(
    hour                DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    site                LowCardinality(String) CODEC(ZSTD(1)),
    vendor              LowCardinality(String) CODEC(ZSTD(1)),
    sell_currency       LowCardinality(String) CODEC(ZSTD(1)),
    buy_currency        LowCardinality(String) CODEC(ZSTD(1)),
    result              UInt16 CODEC(ZSTD(1)),
    calls_n             Int64 CODEC(ZSTD(1)),
    answered_n          Int64 CODEC(ZSTD(1)),
    talk_sum            Int64 CODEC(ZSTD(1)),
    billed_sell_sum     Int64 CODEC(ZSTD(1)),
    billed_buy_sum      Int64 CODEC(ZSTD(1)),
    pdd_sum             Int64 CODEC(ZSTD(1)),
    pdd_n               Int64 CODEC(ZSTD(1)),
    revenue             Decimal(38, 12) CODEC(ZSTD(1)),
    cost                Decimal(38, 12) CODEC(ZSTD(1)),
    revenue_provisional Decimal(38, 12) CODEC(ZSTD(1)),
    cost_provisional    Decimal(38, 12) CODEC(ZSTD(1))
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (vendor, hour, sell_currency, buy_currency, result, site)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS by_vendor_hourly_fill TO by_vendor_hourly AS
SELECT
    toStartOfHour(started, 'UTC') AS hour,
    site, vendor, sell_currency, buy_currency,
    leg_code AS result,
    sum(sign * tried) AS calls_n,
    sum(sign * leg_answered) AS answered_n,
    sum(sign * leg_talk_us) AS talk_sum,
    sum(sign * billed_sell_us) AS billed_sell_sum,
    sum(sign * billed_buy_us) AS billed_buy_sum,
    sum(if(leg_pdd_us >= 0, sign * leg_pdd_us, 0)) AS pdd_sum,
    sum(if(leg_pdd_us >= 0, sign, 0)) AS pdd_n,
    sum(sign * sell_amount) AS revenue,
    sum(sign * buy_amount) AS cost,
    sum(if(sell_unrated = '', toDecimal128(0, 12), sign * sell_amount)) AS revenue_provisional,
    sum(if(buy_unrated = '', toDecimal128(0, 12), sign * buy_amount)) AS cost_provisional
FROM attempts
WHERE tried = 1
GROUP BY hour, site, vendor, sell_currency, buy_currency, result;
