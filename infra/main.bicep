targetScope = 'resourceGroup'

metadata description = 'Everything that Tributary runs on in Azure, in one resource group.'

@description('Name of the environment; part of every resource\'s name.')
@minLength(2)
@maxLength(5)
param environmentName string

@description('Azure region.')
param location string = resourceGroup().location

@description('Tags of every resource, beside the two that are always set.')
param tags object = {}

@description('True takes every data store and the app itself off the public network and gives them private endpoints. False leaves public endpoints that admit the app and allowedIpRanges alone.')
param privateNetworking bool = false

@description('Who may use the public endpoints while there are any: { name, from, to, cidr? }; cidr may be absent for a single address.')
param allowedIpRanges array = []

@description('Address space of the virtual network: { network, app, endpoints }.')
param addressPrefixes object = {
  network: '10.42.0.0/24'
  app: '10.42.0.0/26'
  endpoints: '10.42.0.128/26'
}

@description('Object id of the Entra group, user or service principal that administers both databases.')
param databaseAdministratorObjectId string

@description('Name of that principal as Entra shows it; a service principal\'s display name.')
param databaseAdministratorName string

@description('What kind of principal it is.')
@allowed([
  'Group'
  'ServicePrincipal'
  'User'
])
param databaseAdministratorType string = 'Group'

@description('Directory whose tokens the app accepts.')
param entraTenantId string = subscription().tenantId

@description('Audience of the tokens that the app accepts: the application id URI or client id of its registration.')
param entraAudience string

@description('Application settings of this environment that differ from the defaults below, by name; never a secret.')
param appSettings object = {}

@description('Hosts that a connector may name, separated by commas.')
param connectorHosts string = ''

@description('Databricks workspaces that share packs may name, separated by commas.')
param databricksHosts string = ''

@description('True turns on share packs.')
param enableWorkflow bool = false

@description('Directory application that reads users and groups: { tenantId, clientId }; empty without share packs. Its secret is graph-client-secret in the vault.')
param graphApplication object = {}

@description('Mail server: { host, port, username, from }; empty sends no mail. Its password is smtp-password in the vault.')
param mailServer object = {}

@description('Version of Python that runs the app; the package must be built for it.')
param pythonVersion string = '3.13'

@description('Ceiling of instances of each function group.')
param maximumInstanceCount int = 40

@description('Memory of an instance in MB.')
param instanceMemoryMB int = 2048

@description('Function groups that never go cold: { name, instanceCount }.')
param alwaysReady array = []

@description('True spreads the app, the storage account and Azure SQL over zones.')
param zoneRedundant bool = false

@description('Compute of PostgreSQL: { name, tier }.')
param postgresSku object = {
  name: 'Standard_D2ds_v5'
  tier: 'GeneralPurpose'
}

@description('Storage of PostgreSQL in GB.')
param postgresStorageSizeGB int = 64

@description('Major version of PostgreSQL.')
param postgresVersion string = '16'

@description('Standby of PostgreSQL: Disabled, SameZone or ZoneRedundant.')
param postgresHighAvailability string = 'Disabled'

@description('Days that point-in-time restore of PostgreSQL reaches back.')
param postgresBackupRetentionDays int = 14

@description('Enabled also keeps PostgreSQL\'s backups in the paired region; decided at creation.')
param postgresGeoRedundantBackup string = 'Disabled'

@description('Compute of Azure SQL: { name, tier, family, capacity }.')
param sqlSku object = {
  name: 'GP_S_Gen5'
  tier: 'GeneralPurpose'
  family: 'Gen5'
  capacity: 1
}

@description('Minutes of rest after which Azure SQL sleeps; -1 keeps it awake.')
param sqlAutoPauseDelayMinutes int = 60

@description('Days that logs can be queried.')
param logRetentionDays int = 30

@description('Ceiling of daily log ingestion in GB; -1 sets none.')
param logDailyQuotaGb int = -1

@description('Days until backups, archived submissions and archived logs are deleted.')
param archiveRetentionDays int = 365

@description('Addresses that alerts are sent to.')
param alertEmails array = []

@description('False silences every alert.')
param alertsEnabled bool = true

@description('True lets the app read what its resource group costs.')
param readCosts bool = false

var token = uniqueString(resourceGroup().id, environmentName)
var suffix = '${environmentName}-${take(token, 6)}'
var allTags = union(tags, { application: 'tributary', environment: environmentName })
var publicNetworkAccess = privateNetworking ? 'Disabled' : 'Enabled'

var deploymentContainer = 'deployment'
var submissionsContainer = 'submissions'
var archiveContainer = 'archive'
var syncQueue = 'sync-jobs'
var sharePackQueue = 'sharepack-processing'
var directoryQueue = 'sync-triggers'
var functionAppName = 'func-tributary-${suffix}'
var dataFactoryName = 'adf-tributary-${suffix}'
var databaseAdministrator = {
  objectId: databaseAdministratorObjectId
  name: databaseAdministratorName
  type: databaseAdministratorType
}

var dnsZones = {
  blob: 'privatelink.blob.${environment().suffixes.storage}'
  queue: 'privatelink.queue.${environment().suffixes.storage}'
  table: 'privatelink.table.${environment().suffixes.storage}'
  vault: 'privatelink.vaultcore.azure.net'
  postgres: 'privatelink.postgres.database.azure.com'
  sql: 'privatelink${environment().suffixes.sqlServerHostname}'
  app: 'privatelink.azurewebsites.net'
}
var dnsZoneNames = [
  dnsZones.blob
  dnsZones.queue
  dnsZones.table
  dnsZones.vault
  dnsZones.postgres
  dnsZones.sql
  dnsZones.app
]

module identity 'modules/identity.bicep' = {
  name: 'identity'
  params: {
    name: 'id-tributary-${suffix}'
    location: location
    tags: allTags
  }
}

module network 'modules/network.bicep' = {
  name: 'network'
  params: {
    name: 'vnet-tributary-${suffix}'
    location: location
    tags: allTags
    addressPrefix: addressPrefixes.network
    appSubnetPrefix: addressPrefixes.app
    endpointSubnetPrefix: addressPrefixes.endpoints
    privateDnsZoneNames: privateNetworking ? dnsZoneNames : []
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    workspaceName: 'log-tributary-${suffix}'
    componentName: 'appi-tributary-${suffix}'
    location: location
    tags: allTags
    retentionDays: logRetentionDays
    dailyQuotaGb: logDailyQuotaGb
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: take('sttributary${environmentName}${token}', 24)
    location: location
    tags: allTags
    skuName: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'
    publicNetworkAccess: publicNetworkAccess
    allowedIpRanges: allowedIpRanges
    appSubnetId: network.outputs.appSubnetId
    queueNames: [
      syncQueue
      sharePackQueue
      directoryQueue
    ]
    tableNames: [
      'executionlog'
      'heartbeats'
    ]
    containerNames: [
      deploymentContainer
      submissionsContainer
      archiveContainer
    ]
    archiveContainer: archiveContainer
    archiveRetentionDays: archiveRetentionDays
    logAnalyticsId: monitoring.outputs.workspaceId
  }
}

module keyVault 'modules/key-vault.bicep' = {
  name: 'key-vault'
  params: {
    name: take('kv-trib-${environmentName}-${token}', 24)
    location: location
    tags: allTags
    publicNetworkAccess: publicNetworkAccess
    allowedIpRanges: allowedIpRanges
    appSubnetId: network.outputs.appSubnetId
    logAnalyticsId: monitoring.outputs.workspaceId
    logArchiveId: storage.outputs.id
  }
}

module postgres 'modules/postgres.bicep' = {
  name: 'postgres'
  params: {
    name: 'psql-tributary-${suffix}'
    location: location
    tags: allTags
    sku: postgresSku
    storageSizeGB: postgresStorageSizeGB
    version: postgresVersion
    highAvailability: postgresHighAvailability
    backupRetentionDays: postgresBackupRetentionDays
    geoRedundantBackup: postgresGeoRedundantBackup
    databaseName: 'tributary'
    administrator: databaseAdministrator
    publicNetworkAccess: publicNetworkAccess
    allowedIpRanges: allowedIpRanges
    outboundIpAddress: network.outputs.outboundIpAddress
    logAnalyticsId: monitoring.outputs.workspaceId
    logArchiveId: storage.outputs.id
  }
}

module sql 'modules/sql.bicep' = {
  name: 'sql'
  params: {
    name: 'sql-tributary-${suffix}'
    location: location
    tags: allTags
    databaseName: 'reporting'
    sku: sqlSku
    autoPauseDelayMinutes: sqlAutoPauseDelayMinutes
    zoneRedundant: zoneRedundant
    administrator: databaseAdministrator
    publicNetworkAccess: publicNetworkAccess
    allowedIpRanges: allowedIpRanges
    logAnalyticsId: monitoring.outputs.workspaceId
    logArchiveId: storage.outputs.id
  }
}

// Every setting that the app reads and that has a meaning in Azure. What only a developer's machine sets is listed,
// with the reason, in tests/unit/infra_azure/test_app_settings.py.
var hostSettings = {
  APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.outputs.clientId};Authorization=AAD'
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
  AZURE_CLIENT_ID: identity.outputs.clientId
  AzureWebJobsDisableHomepage: 'true'
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.outputs.clientId
  AzureWebJobsStorage__blobServiceUri: storage.outputs.blobEndpoint
  AzureWebJobsStorage__queueServiceUri: storage.outputs.queueEndpoint
  AzureWebJobsStorage__tableServiceUri: storage.outputs.tableEndpoint
  PYTHON_THREADPOOL_THREAD_COUNT: '8'
}
var databaseSettings = {
  POSTGRES_HOST: postgres.outputs.host
  POSTGRES_PORT: string(postgres.outputs.port)
  POSTGRES_DB: postgres.outputs.database
  POSTGRES_USER: identity.outputs.name
  POSTGRES_AUTH: 'entra'
  POSTGRES_SCHEMA: 'bridge'
  POSTGRES_SSLMODE: 'verify-full'
  // The roots that Debian trusts, which the service's certificates chain to.
  POSTGRES_SSLROOTCERT: '/etc/ssl/certs/ca-certificates.crt'
  POSTGRES_POOL_MAX: '2'
  MIGRATE_ON_START: 'true'
}
var syncSettings = {
  SYNC_QUEUE_NAME: syncQueue
  DETECT_SCHEDULE: '0 */5 * * * *'
  RETRY_SCHEDULE: '30 */5 * * * *'
  WATCH_SCHEDULE: '0 */15 * * * *'
  DETECT_CONCURRENCY: '20'
  FULL_MAX_ROWS: '5000000'
  SPLIT_ROWS: '2000000'
  SYNC_MAX_CONCURRENT: '5'
  DEFAULT_SYNC_INTERVAL_SECONDS: '300'
  DEFAULT_PAGE_SIZE: '1000'
  MAX_PAGE_SIZE: '10000'
  SLICE_BUDGET_SECONDS: '240'
  MAX_RETRIES: '3'
  RETRY_DELAY_SECONDS: '60'
  MAX_RETRY_DELAY_SECONDS: '3600'
  REJECT_PAYLOAD_DAYS: '90'
  RUN_HISTORY_DAYS: '400'
  ERROR_RATE_WARNING_PERCENT: '0.2'
  BACKGROUND_SYNC_ENABLED: 'true'
  BACKGROUND_SYNC_WINDOW_START: '19:00:00'
  BACKGROUND_SYNC_WINDOW_END: '07:00:00'
  BACKGROUND_SYNC_TIME_ZONE: 'UTC'
}
var callerSettings = {
  LOG_LEVEL: 'INFO'
  LOG_FORMAT: 'json'
  AUTH_MODE: 'entra'
  ENTRA_TENANT_ID: entraTenantId
  ENTRA_AUDIENCE: entraAudience
  RATE_LIMIT_PER_MINUTE: '600'
  CORS_ORIGINS: ''
  CONNECTOR_HOSTS: connectorHosts
  KEY_VAULT_URL: keyVault.outputs.url
  MASK_KEY_SECRET: 'tributary-mask-key'
  AZURE_SUBSCRIPTION_ID: subscription().subscriptionId
  DATA_FACTORY_RESOURCE_GROUP: resourceGroup().name
  DATA_FACTORY_NAME: dataFactoryName
  SUBMISSIONS_CONTAINER: submissionsContainer
}
var workflowSettings = {
  ENABLE_WORKFLOW: enableWorkflow ? 'true' : 'false'
  WORKFLOW_APPROVAL: 'never'
  SHARE_DRIFT_POLICY: 'report'
  DRIFT_SCHEDULE: '0 15 * * * *'
  REMIND_SCHEDULE: '15 */5 * * * *'
  DATABRICKS_HOSTS: databricksHosts
  AZURE_QUEUE_NAME: sharePackQueue
  DIRECTORY_QUEUE_NAME: directoryQueue
  DIRECTORY_SCHEDULE: '45 */5 * * * *'
  DIRECTORY_DOMAINS: ''
  GRAPH_URL: 'https://graph.microsoft.com'
  ENTRA_URL: environment().authentication.loginEndpoint
  AZURE_MANAGEMENT_URL: environment().resourceManager
  PROJECT_COST_TAG: 'project'
  NOTIFICATION_TO_EMAILS: ''
}
// What belongs to share packs costs nothing, and logs nothing, where they are off.
var disabledSettings = enableWorkflow ? {} : {
  AzureWebJobs__provision_share_pack__Disabled: 'true'
  AzureWebJobs__record_share_pack_poison__Disabled: 'true'
  AzureWebJobs__remind_share_packs__Disabled: 'true'
  AzureWebJobs__watch_shares__Disabled: 'true'
  AzureWebJobs__request_directory__Disabled: 'true'
  AzureWebJobs__sync_directory__Disabled: 'true'
  AzureWebJobs__record_directory_poison__Disabled: 'true'
}
// A reference to a secret that isn't there would reach the app as its own text, so these appear only when used.
var graphSettings = empty(graphApplication) ? {} : {
  GRAPH_TENANT_ID: graphApplication.tenantId
  GRAPH_CLIENT_ID: graphApplication.clientId
  GRAPH_CLIENT_SECRET: '@Microsoft.KeyVault(SecretUri=${keyVault.outputs.url}secrets/graph-client-secret)'
}
var mailSettings = empty(mailServer) ? {} : {
  SMTP_HOST: mailServer.host
  SMTP_PORT: string(mailServer.port)
  SMTP_SECURITY: 'starttls'
  SMTP_USERNAME: mailServer.username
  SMTP_PASSWORD: '@Microsoft.KeyVault(SecretUri=${keyVault.outputs.url}secrets/smtp-password)'
  NOTIFICATION_FROM_EMAIL: mailServer.from
}
var fixedSettings = union(hostSettings, databaseSettings, syncSettings, callerSettings)
var optionalSettings = union(workflowSettings, disabledSettings, graphSettings, mailSettings)

module functionApp 'modules/function-app.bicep' = {
  name: 'function-app'
  params: {
    name: functionAppName
    planName: 'plan-tributary-${suffix}'
    location: location
    tags: allTags
    pythonVersion: pythonVersion
    identityId: identity.outputs.id
    deploymentContainerUrl: '${storage.outputs.blobEndpoint}${deploymentContainer}'
    appSubnetId: network.outputs.appSubnetId
    publicNetworkAccess: publicNetworkAccess
    allowedIpRanges: allowedIpRanges
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    alwaysReady: alwaysReady
    zoneRedundant: zoneRedundant
    appSettings: union(fixedSettings, optionalSettings, appSettings)
    logAnalyticsId: monitoring.outputs.workspaceId
    logArchiveId: storage.outputs.id
  }
}

module dataFactory 'modules/data-factory.bicep' = {
  name: 'data-factory'
  params: {
    name: dataFactoryName
    location: location
    tags: allTags
    storageAccountId: storage.outputs.id
    blobEndpoint: storage.outputs.blobEndpoint
    submissionsContainer: submissionsContainer
    keyVaultUrl: keyVault.outputs.url
    postgresId: postgres.outputs.id
    postgresHost: postgres.outputs.host
    postgresDatabase: postgres.outputs.database
    sqlServerId: sql.outputs.id
    sqlHost: sql.outputs.host
    sqlDatabase: sql.outputs.database
    functionAppId: functionApp.outputs.id
    functionAppUrl: functionApp.outputs.url
    functionAppAudience: entraAudience
    logAnalyticsId: monitoring.outputs.workspaceId
    logArchiveId: storage.outputs.id
  }
}

module roleAssignments 'modules/role-assignments.bicep' = {
  name: 'role-assignments'
  params: {
    appPrincipalId: identity.outputs.principalId
    dataFactoryPrincipalId: dataFactory.outputs.principalId
    storageAccountName: storage.outputs.name
    submissionsContainer: submissionsContainer
    archiveContainer: archiveContainer
    keyVaultName: keyVault.outputs.name
    applicationInsightsName: monitoring.outputs.componentName
    dataFactoryName: dataFactory.outputs.name
    readCosts: readCosts
  }
}

module privateEndpoints 'modules/private-endpoints.bicep' = if (privateNetworking) {
  name: 'private-endpoints'
  params: {
    location: location
    tags: allTags
    subnetId: network.outputs.endpointSubnetId
    endpoints: [
      {
        name: 'blob'
        resourceId: storage.outputs.id
        groupId: 'blob'
        dnsZone: dnsZones.blob
      }
      {
        name: 'queue'
        resourceId: storage.outputs.id
        groupId: 'queue'
        dnsZone: dnsZones.queue
      }
      {
        name: 'table'
        resourceId: storage.outputs.id
        groupId: 'table'
        dnsZone: dnsZones.table
      }
      {
        name: 'vault'
        resourceId: keyVault.outputs.id
        groupId: 'vault'
        dnsZone: dnsZones.vault
      }
      {
        name: 'postgres'
        resourceId: postgres.outputs.id
        groupId: 'postgresqlServer'
        dnsZone: dnsZones.postgres
      }
      {
        name: 'sql'
        resourceId: sql.outputs.id
        groupId: 'sqlServer'
        dnsZone: dnsZones.sql
      }
      {
        name: 'app'
        resourceId: functionApp.outputs.id
        groupId: 'sites'
        dnsZone: dnsZones.app
      }
    ]
  }
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    location: location
    tags: allTags
    actionGroupName: 'ag-tributary-${suffix}'
    emails: alertEmails
    workspaceId: monitoring.outputs.workspaceId
    enabled: alertsEnabled
  }
}

// What infra/deploy.sh and a person need next. Their names are a contract.

@description('Name of the environment.')
output environmentName string = environmentName

@description('Name of the resource group.')
output resourceGroupName string = resourceGroup().name

@description('Azure region.')
output location string = location

@description('Name of the function app.')
output functionAppName string = functionApp.outputs.name

@description('Address of the function app, without a closing slash.')
output functionAppUrl string = functionApp.outputs.url

@description('Version of Python that the package must be built for.')
output pythonVersion string = pythonVersion

@description('Container that the package is put into.')
output deploymentContainerUrl string = '${storage.outputs.blobEndpoint}${deploymentContainer}'

@description('Name of the storage account.')
output storageAccountName string = storage.outputs.name

@description('Container that submissions are written to.')
output submissionsContainer string = submissionsContainer

@description('Container of backups and of what was archived.')
output archiveContainer string = archiveContainer

@description('Name of the app\'s identity; also the name of its role in PostgreSQL.')
output identityName string = identity.outputs.name

@description('Client id of the app\'s identity.')
output identityClientId string = identity.outputs.clientId

@description('Object id of the app\'s identity.')
output identityPrincipalId string = identity.outputs.principalId

@description('Name of the vault.')
output keyVaultName string = keyVault.outputs.name

@description('Address of the vault.')
output keyVaultUrl string = keyVault.outputs.url

@description('Name of the PostgreSQL server.')
output postgresServerName string = postgres.outputs.name

@description('Host name of PostgreSQL.')
output postgresHost string = postgres.outputs.host

@description('Port that the app uses; roles are created on 5432, past the pooler.')
output postgresPort int = postgres.outputs.port

@description('Name of the PostgreSQL database.')
output postgresDatabase string = postgres.outputs.database

@description('Entra principal that may create roles in both databases.')
output databaseAdministratorName string = databaseAdministratorName

@description('Name of the Azure SQL server.')
output sqlServerName string = sql.outputs.name

@description('Host name of Azure SQL.')
output sqlHost string = sql.outputs.host

@description('Name of the Azure SQL database.')
output sqlDatabase string = sql.outputs.database

@description('Name of the factory; also its role in PostgreSQL and its user in Azure SQL.')
output dataFactoryName string = dataFactory.outputs.name

@description('Object id of the factory\'s identity.')
output dataFactoryPrincipalId string = dataFactory.outputs.principalId

@description('Where the factory\'s runs are watched.')
output dataFactoryMonitoringUrl string = dataFactory.outputs.monitoringUrl

@description('Names of the triggers: stopped before a deployment, started after it.')
output dataFactoryTriggers array = dataFactory.outputs.triggers

@description('Private endpoints of the factory, each approved once on its target: { name, resourceId, groupId }.')
output dataFactoryPrivateEndpoints array = dataFactory.outputs.privateEndpoints

@description('Name of the Log Analytics workspace.')
output logAnalyticsName string = monitoring.outputs.workspaceName

@description('The GUID that log queries name the workspace by.')
output logAnalyticsWorkspaceId string = monitoring.outputs.workspaceCustomerId

@description('Name of the Application Insights component.')
output applicationInsightsName string = monitoring.outputs.componentName

@description('Where the workbook opens.')
output workbookUrl string = '${environment().portal}/#resource${monitoring.outputs.workbookId}/workbook'

@description('The one address that the app calls connectors from.')
output outboundIpAddress string = network.outputs.outboundIpAddress

@description('False where a deployment has to come from inside the network.')
output publicNetworkAccess bool = !privateNetworking
