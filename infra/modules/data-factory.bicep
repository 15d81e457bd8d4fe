@description('Name of the factory; also its role in PostgreSQL and its user in Azure SQL.')
param name string

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Storage account of submissions and the archive.')
param storageAccountId string

@description('Its blob endpoint, with a closing slash.')
param blobEndpoint string

@description('Container that submissions are written to.')
param submissionsContainer string

@description('Address of the vault that holds the sources\' passwords.')
param keyVaultUrl string

@description('PostgreSQL server.')
param postgresId string

@description('Its host name.')
param postgresHost string

@description('Its database.')
param postgresDatabase string

@description('Azure SQL server.')
param sqlServerId string

@description('Its host name.')
param sqlHost string

@description('Its database.')
param sqlDatabase string

@description('Function app.')
param functionAppId string

@description('Its address, without a closing slash.')
param functionAppUrl string

@description('What a token for it is meant for.')
param functionAppAudience string

@description('Log Analytics workspace that takes the logs.')
param logAnalyticsId string

@description('Storage account that archives the logs.')
param logArchiveId string

// The documents are what Data Factory Studio shows; what depends on the deployment stands in them as a word between
// double underscores.
var linkedServiceTexts = [
  loadTextContent('../data_factory/linkedService/KeyVaultLinkedService.json')
  loadTextContent('../data_factory/linkedService/BlobStorageLinkedService.json')
  loadTextContent('../data_factory/linkedService/PostgreSqlLinkedService.json')
  loadTextContent('../data_factory/linkedService/AzureSqlLinkedService.json')
  loadTextContent('../data_factory/linkedService/FunctionAppLinkedService.json')
  loadTextContent('../data_factory/linkedService/SourcePostgreSqlLinkedService.json')
  loadTextContent('../data_factory/linkedService/SourceSqlServerLinkedService.json')
]
var linkedServiceText = '[${join(linkedServiceTexts, ',')}]'
var withVault = replace(linkedServiceText, '__KEY_VAULT_URL__', keyVaultUrl)
var withBlob = replace(withVault, '__BLOB_ENDPOINT__', blobEndpoint)
var withPostgres = replace(replace(withBlob, '__POSTGRES_HOST__', postgresHost), '__POSTGRES_DATABASE__', postgresDatabase)
var withSql = replace(replace(withPostgres, '__SQL_HOST__', sqlHost), '__SQL_DATABASE__', sqlDatabase)
var withApp = replace(replace(withSql, '__FUNCTION_APP_URL__', functionAppUrl), '__FUNCTION_APP_AUDIENCE__', functionAppAudience)
var linkedServiceDocuments = json(withApp)

var datasetDocuments = [
  any(loadJsonContent('../data_factory/dataset/SubmissionFiles.json'))
  any(loadJsonContent('../data_factory/dataset/BlobFolder.json'))
  any(loadJsonContent('../data_factory/dataset/ParquetFile.json'))
  any(loadJsonContent('../data_factory/dataset/PostgreSqlTable.json'))
  any(loadJsonContent('../data_factory/dataset/AzureSqlTable.json'))
  any(loadJsonContent('../data_factory/dataset/SourcePostgreSqlTable.json'))
  any(loadJsonContent('../data_factory/dataset/SourceSqlServerTable.json'))
]

var pipelineDocuments = [
  any(loadJsonContent('../data_factory/pipeline/UserDataSyncPipeline.json'))
  any(loadJsonContent('../data_factory/pipeline/HourlyReportingPipeline.json'))
  any(loadJsonContent('../data_factory/pipeline/DailyBackupPipeline.json'))
  any(loadJsonContent('../data_factory/pipeline/BulkCopyPipeline.json'))
]

var triggerTexts = [
  loadTextContent('../data_factory/trigger/DailyDataSyncTrigger.json')
  loadTextContent('../data_factory/trigger/HourlyReportingTrigger.json')
  loadTextContent('../data_factory/trigger/MidnightBackupTrigger.json')
  loadTextContent('../data_factory/trigger/SubmissionArrivedTrigger.json')
]
var triggerText = '[${join(triggerTexts, ',')}]'
var withContainer = replace(triggerText, '__SUBMISSIONS_CONTAINER__', submissionsContainer)
var triggerDocuments = json(replace(withContainer, '__STORAGE_ACCOUNT_ID__', storageAccountId))

// The factory reaches the stores through endpoints of its own, whether their public ones are on or off: its addresses
// are too many to be named in a firewall. Each is approved once on its target. The vault admits the service itself.
var endpoints = [
  {
    name: 'blob'
    resourceId: storageAccountId
    groupId: 'blob'
  }
  {
    name: 'postgres'
    resourceId: postgresId
    groupId: 'postgresqlServer'
  }
  {
    name: 'sql'
    resourceId: sqlServerId
    groupId: 'sqlServer'
  }
  {
    name: 'app'
    resourceId: functionAppId
    groupId: 'sites'
  }
]

resource factory 'Microsoft.DataFactory/factories@2018-06-01' = {
  // checkov:skip=CKV_AZURE_103:Deployed from this repository, which is its source control.
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    publicNetworkAccess: 'Disabled'
  }
}

resource managedNetwork 'Microsoft.DataFactory/factories/managedVirtualNetworks@2018-06-01' = {
  parent: factory
  name: 'default'
  properties: {}
}

resource managedEndpoints 'Microsoft.DataFactory/factories/managedVirtualNetworks/managedPrivateEndpoints@2018-06-01' = [for endpoint in endpoints: {
  parent: managedNetwork
  name: endpoint.name
  properties: {
    privateLinkResourceId: endpoint.resourceId
    groupId: endpoint.groupId
  }
}]

resource runtime 'Microsoft.DataFactory/factories/integrationRuntimes@2018-06-01' = {
  parent: factory
  name: 'ManagedNetworkRuntime'
  properties: {
    type: 'Managed'
    typeProperties: {
      computeProperties: {
        location: 'AutoResolve'
      }
    }
    managedVirtualNetwork: {
      type: 'ManagedVirtualNetworkReference'
      referenceName: 'default'
    }
  }
  dependsOn: [
    managedNetwork
  ]
}

// In the order of the list, since a source's password is a reference to the vault that stands first.
@batchSize(1)
resource linkedServices 'Microsoft.DataFactory/factories/linkedservices@2018-06-01' = [for document in linkedServiceDocuments: {
  parent: factory
  name: document.name
  properties: any(document.properties)
  dependsOn: [
    runtime
    managedEndpoints
  ]
}]

resource datasets 'Microsoft.DataFactory/factories/datasets@2018-06-01' = [for document in datasetDocuments: {
  parent: factory
  name: document.name
  properties: any(document.properties)
  dependsOn: [
    linkedServices
  ]
}]

resource pipelines 'Microsoft.DataFactory/factories/pipelines@2018-06-01' = [for document in pipelineDocuments: {
  parent: factory
  name: document.name
  properties: any(document.properties)
  dependsOn: [
    datasets
  ]
}]

// A started trigger refuses to be changed: a deployment stops them first and starts them afterwards.
resource triggers 'Microsoft.DataFactory/factories/triggers@2018-06-01' = [for document in triggerDocuments: {
  parent: factory
  name: document.name
  properties: any(document.properties)
  dependsOn: [
    pipelines
  ]
}]

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: factory
  name: 'to-log-analytics-and-blob'
  properties: {
    workspaceId: logAnalyticsId
    storageAccountId: logArchiveId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        category: 'PipelineRuns'
        enabled: true
      }
      {
        category: 'ActivityRuns'
        enabled: true
      }
      {
        category: 'TriggerRuns'
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

@description('Name of the factory.')
output name string = factory.name

@description('Object id of the factory\'s identity.')
output principalId string = factory.identity.principalId

@description('Where the factory\'s runs are watched.')
output monitoringUrl string = 'https://adf.azure.com/monitoring/pipelineruns?factory=${uriComponent(factory.id)}'

@description('Names of the triggers.')
output triggers array = [for document in triggerDocuments: document.name]

@description('Private endpoints to be approved on their targets: { name, resourceId, groupId }.')
output privateEndpoints array = endpoints
