@description('Name of the server.')
param name string

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the database.')
param databaseName string

@description('Compute: { name, tier, family, capacity }; a serverless one sleeps when nobody asks.')
param sku object

@description('Minutes of rest after which a serverless database sleeps; -1 keeps it awake.')
param autoPauseDelayMinutes int

@description('True spreads the database over zones.')
param zoneRedundant bool

@description('Entra principal that administers the server: { objectId, name, type }.')
param administrator object

@description('Disabled closes the public endpoint; the factory comes in by an endpoint of its own.')
@allowed([
  'Disabled'
  'Enabled'
])
param publicNetworkAccess string = 'Disabled'

@description('Addresses that may use the public endpoint: { name, from, to }.')
param allowedIpRanges array

@description('Log Analytics workspace that takes the logs.')
param logAnalyticsId string

@description('Storage account that archives the logs.')
param logArchiveId string

var firewallRanges = publicNetworkAccess == 'Enabled' ? allowedIpRanges : []
// The SQL service calls the principal's kinds by other names than PostgreSQL does.
var principalType = administrator.type == 'ServicePrincipal' ? 'Application' : administrator.type

resource server 'Microsoft.Sql/servers@2023-08-01' = {
  // checkov:skip=CKV_AZURE_23:auditingSettings below turns it on; the check looks for it nested in this resource.
  // checkov:skip=CKV_AZURE_24:auditingSettings below keeps 90 days; the check looks for it nested in this resource.
  // checkov:skip=CKV_AZURE_25:securityAlertPolicies below enables every type; the check looks for it nested in this resource.
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    version: '12.0'
    minimalTlsVersion: '1.2'
    publicNetworkAccess: publicNetworkAccess
    restrictOutboundNetworkAccess: 'Enabled'
    administrators: {
      administratorType: 'ActiveDirectory'
      azureADOnlyAuthentication: true
      login: administrator.name
      principalType: principalType
      sid: administrator.objectId
      tenantId: subscription().tenantId
    }
  }
}

resource database 'Microsoft.Sql/servers/databases@2023-08-01' = {
  // checkov:skip=CKV_AZURE_23:Audited by its server, below.
  // checkov:skip=CKV_AZURE_25:Alerted on by its server, below.
  // checkov:skip=CKV_AZURE_26:Alerted on by its server, which writes to its administrators.
  // checkov:skip=CKV_AZURE_27:Alerted on by its server, which writes to its administrators.
  // checkov:skip=CKV_AZURE_229:By parameter: on in prod, and dev can be lost.
  parent: server
  name: databaseName
  location: location
  tags: tags
  sku: {
    name: sku.name
    tier: sku.tier
    family: sku.family
    capacity: sku.capacity
  }
  properties: {
    collation: 'Latin1_General_100_CI_AS_SC_UTF8'
    autoPauseDelay: autoPauseDelayMinutes
    zoneRedundant: zoneRedundant
    requestedBackupStorageRedundancy: zoneRedundant ? 'Zone' : 'Local'
  }
}

resource encryption 'Microsoft.Sql/servers/databases/transparentDataEncryption@2023-08-01' = {
  parent: database
  name: 'current'
  properties: {
    state: 'Enabled'
  }
}

resource auditing 'Microsoft.Sql/servers/auditingSettings@2023-08-01' = {
  parent: server
  name: 'default'
  properties: {
    state: 'Enabled'
    isAzureMonitorTargetEnabled: true
    retentionDays: 90
    auditActionsAndGroups: [
      'SUCCESSFUL_DATABASE_AUTHENTICATION_GROUP'
      'FAILED_DATABASE_AUTHENTICATION_GROUP'
      'BATCH_COMPLETED_GROUP'
    ]
  }
}

resource threatDetection 'Microsoft.Sql/servers/securityAlertPolicies@2023-08-01' = {
  parent: server
  name: 'Default'
  properties: {
    state: 'Enabled'
    emailAccountAdmins: true
    retentionDays: 90
  }
}

resource firewallRules 'Microsoft.Sql/servers/firewallRules@2023-08-01' = [for entry in firewallRanges: {
  parent: server
  name: entry.name
  properties: {
    startIpAddress: entry.from
    endIpAddress: entry.to
  }
}]

// The server's audit lands in the log of `master`, whichever database it speaks of.
resource master 'Microsoft.Sql/servers/databases@2023-08-01' existing = {
  // checkov:skip=CKV_AZURE_23:An existing database, named only for its log.
  // checkov:skip=CKV_AZURE_25:An existing database, named only for its log.
  // checkov:skip=CKV_AZURE_26:An existing database, named only for its log.
  // checkov:skip=CKV_AZURE_27:An existing database, named only for its log.
  parent: server
  name: 'master'
}

resource auditLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: master
  name: 'to-log-analytics-and-blob'
  properties: {
    workspaceId: logAnalyticsId
    storageAccountId: logArchiveId
    logs: [
      {
        category: 'SQLSecurityAuditEvents'
        enabled: true
      }
    ]
  }
  dependsOn: [
    auditing
  ]
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: database
  name: 'to-log-analytics-and-blob'
  properties: {
    workspaceId: logAnalyticsId
    storageAccountId: logArchiveId
    logs: [
      {
        category: 'Errors'
        enabled: true
      }
      {
        category: 'Timeouts'
        enabled: true
      }
      {
        category: 'Deadlocks'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'Basic'
        enabled: true
      }
    ]
  }
}

@description('Resource id of the server.')
output id string = server.id

@description('Name of the server.')
output name string = server.name

@description('Host name.')
output host string = server.properties.fullyQualifiedDomainName

@description('Name of the database.')
output database string = database.name
