@description('Name of the server.')
param name string

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Compute: { name, tier }. PgBouncer needs GeneralPurpose or MemoryOptimized; a Burstable server goes without.')
param sku object

@description('Storage in GB; it grows by itself and never shrinks.')
param storageSizeGB int

@description('Major version; the service itself asks for 14 or newer.')
@allowed([
  '14'
  '15'
  '16'
  '17'
])
param version string

@description('ZoneRedundant keeps a standby in another zone; Disabled goes without.')
@allowed([
  'Disabled'
  'SameZone'
  'ZoneRedundant'
])
param highAvailability string

@description('Days that point-in-time restore reaches back.')
@minValue(7)
@maxValue(35)
param backupRetentionDays int

@description('Enabled also keeps the backups in the paired region; can only be chosen when the server is created.')
@allowed([
  'Disabled'
  'Enabled'
])
param geoRedundantBackup string

@description('Name of the database.')
param databaseName string

@description('Entra principal that may create roles: { objectId, name, type }.')
param administrator object

@description('Disabled closes the public endpoint; private endpoints then serve the app.')
@allowed([
  'Disabled'
  'Enabled'
])
param publicNetworkAccess string = 'Disabled'

@description('Addresses that may use the public endpoint: { name, from, to }.')
param allowedIpRanges array

@description('The address that the app calls from, admitted while the public endpoint is on.')
param outboundIpAddress string

@description('Log Analytics workspace that takes the logs.')
param logAnalyticsId string

@description('Storage account that archives the logs.')
param logArchiveId string

var pooled = sku.tier != 'Burstable'
var appRange = [
  {
    name: 'function-app'
    from: outboundIpAddress
    to: outboundIpAddress
  }
]
var firewallRanges = publicNetworkAccess == 'Enabled' ? concat(appRange, allowedIpRanges) : []

// log_connections and log_disconnections are always on here, and the service refuses to be told so.
var serverParameters = [
  {
    name: 'require_secure_transport'
    value: 'on'
  }
  {
    name: 'ssl_min_protocol_version'
    value: 'TLSv1.2'
  }
  {
    name: 'log_checkpoints'
    value: 'on'
  }
  {
    name: 'connection_throttle.enable'
    value: 'on'
  }
  {
    // A worker that died inside a transaction must not hold a slice's locks past the function's own timeout.
    name: 'idle_in_transaction_session_timeout'
    value: '660000'
  }
]
// No session state is kept between transactions, so the pooler may share a connection between them.
var poolerParameters = [
  {
    name: 'pgbouncer.enabled'
    value: 'true'
  }
  {
    name: 'pgbouncer.pool_mode'
    value: 'transaction'
  }
  {
    name: 'pgbouncer.default_pool_size'
    value: '50'
  }
]
var allParameters = pooled ? concat(serverParameters, poolerParameters) : serverParameters

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2024-08-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: sku.name
    tier: sku.tier
  }
  properties: {
    version: version
    authConfig: {
      activeDirectoryAuth: 'Enabled'
      passwordAuth: 'Disabled'
      tenantId: subscription().tenantId
    }
    storage: {
      storageSizeGB: storageSizeGB
      autoGrow: 'Enabled'
    }
    backup: {
      backupRetentionDays: backupRetentionDays
      geoRedundantBackup: geoRedundantBackup
    }
    highAvailability: {
      mode: highAvailability
    }
    network: {
      publicNetworkAccess: publicNetworkAccess
    }
  }
}

resource administrators 'Microsoft.DBforPostgreSQL/flexibleServers/administrators@2024-08-01' = {
  parent: server
  name: administrator.objectId
  properties: {
    principalName: administrator.name
    principalType: administrator.type
    tenantId: subscription().tenantId
  }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2024-08-01' = {
  parent: server
  name: databaseName
  properties: {
    charset: 'UTF8'
    collation: 'en_US.utf8'
  }
  dependsOn: [
    administrators
  ]
}

// One at a time: the server takes one change of its configuration at once, and refuses the rest as busy.
@batchSize(1)
resource parameters 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = [for parameter in allParameters: {
  parent: server
  name: parameter.name
  properties: {
    value: parameter.value
    source: 'user-override'
  }
  dependsOn: [
    database
  ]
}]

@batchSize(1)
resource firewallRules 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2024-08-01' = [for entry in firewallRanges: {
  parent: server
  name: entry.name
  properties: {
    startIpAddress: entry.from
    endIpAddress: entry.to
  }
  dependsOn: [
    parameters
  ]
}]

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: server
  name: 'to-log-analytics-and-blob'
  properties: {
    workspaceId: logAnalyticsId
    storageAccountId: logArchiveId
    logs: [
      {
        category: 'PostgreSQLLogs'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
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

@description('Port that the app uses: PgBouncer where the server has it.')
output port int = pooled ? 6432 : 5432

@description('Name of the database.')
output database string = database.name
