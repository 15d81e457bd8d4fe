-- What the factory may do in Azure SQL; $(factory) is its name. Run by an Entra administrator with sqlcmd.
IF DATABASE_PRINCIPAL_ID('$(factory)') IS NULL CREATE USER [$(factory)] FROM EXTERNAL PROVIDER;
GRANT SELECT, INSERT, UPDATE ON SCHEMA::submissions TO [$(factory)];
GRANT SELECT, INSERT, UPDATE, EXECUTE ON SCHEMA::reporting TO [$(factory)];
GO
