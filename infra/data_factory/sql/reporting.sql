-- Tables and procedures of the Azure SQL database. Run by an administrator; running it again changes nothing.
IF SCHEMA_ID('submissions') IS NULL EXEC ('CREATE SCHEMA submissions');
IF SCHEMA_ID('reporting') IS NULL EXEC ('CREATE SCHEMA reporting');
GO
-- One row a submission. blob_path is <form>/yyyy/mm/dd/<uuid>.json, and no two submissions share one.
IF OBJECT_ID('submissions.received') IS NULL
CREATE TABLE submissions.received (
    blob_path nvarchar(400) NOT NULL CONSTRAINT received_key PRIMARY KEY,
    body nvarchar(max) NOT NULL CONSTRAINT received_is_json CHECK (ISJSON(body) = 1),
    loaded_at datetime2(3) NOT NULL CONSTRAINT received_loaded_at DEFAULT SYSUTCDATETIME()
);
GO
IF OBJECT_ID('reporting.hourly_runs') IS NULL
CREATE TABLE reporting.hourly_runs (
    hour datetimeoffset(0) NOT NULL,
    connector nvarchar(200) NOT NULL,
    entity nvarchar(200) NOT NULL,
    status nvarchar(20) NOT NULL,
    runs bigint NOT NULL,
    fetched bigint NOT NULL,
    inserted bigint NOT NULL,
    updated bigint NOT NULL,
    rejected bigint NOT NULL,
    held bigint NOT NULL,
    soft_deleted bigint NOT NULL,
    seconds float NOT NULL,
    CONSTRAINT hourly_runs_key PRIMARY KEY (hour, connector, entity, status)
);
GO
IF OBJECT_ID('reporting.stats') IS NULL
CREATE TABLE reporting.stats (
    taken_at datetime2(0) NOT NULL CONSTRAINT stats_key PRIMARY KEY,
    stats nvarchar(max) NOT NULL CONSTRAINT stats_is_json CHECK (ISJSON(stats) = 1)
);
GO
CREATE OR ALTER PROCEDURE reporting.store_stats @taken_at datetime2(0), @stats nvarchar(max)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    BEGIN TRANSACTION;
    DELETE FROM reporting.stats WHERE taken_at = @taken_at;
    INSERT INTO reporting.stats (taken_at, stats) VALUES (@taken_at, @stats);
    COMMIT;
END;
GO
