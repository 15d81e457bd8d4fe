@description('Name of the Log Analytics workspace.')
param workspaceName string

@description('Name of the Application Insights component.')
param componentName string

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Days that logs can be queried; what is older is in the archive of the storage account.')
@minValue(30)
@maxValue(730)
param retentionDays int

@description('Ceiling of daily ingestion in GB; -1 sets none.')
param dailyQuotaGb int

var queries = loadJsonContent('../monitoring/queries.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    workspaceCapping: {
      dailyQuotaGb: dailyQuotaGb
    }
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: true
  }
}

resource savedQueries 'Microsoft.OperationalInsights/workspaces/savedSearches@2020-08-01' = [for query in queries: {
  parent: workspace
  name: query.name
  properties: {
    // Without it a second deployment ends in a conflict. The published type lacks it, so the compiler warns; the
    // service asks for it here all the same.
    etag: '*'
    category: 'Tributary'
    displayName: query.displayName
    query: query.query
  }
}]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(workspace.id, 'tributary-overview')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Tributary: freshness, throughput, failures, cost'
    category: 'workbook'
    sourceId: workspace.id
    serializedData: replace(loadTextContent('../monitoring/workbook.json'), '__WORKSPACE_ID__', workspace.id)
  }
}

@description('Resource id of the workspace.')
output workspaceId string = workspace.id

@description('Name of the workspace.')
output workspaceName string = workspace.name

@description('The GUID that log queries name the workspace by.')
output workspaceCustomerId string = workspace.properties.customerId

@description('Resource id of the component.')
output componentId string = component.id

@description('Name of the component.')
output componentName string = component.name

@description('Where telemetry goes; useless without a token, since local authentication is off.')
output connectionString string = component.properties.ConnectionString

@description('Resource id of the workbook.')
output workbookId string = workbook.id
