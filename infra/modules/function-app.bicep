@description('Name of the app; also the first label of its address.')
param name string

@description('Name of the plan.')
param planName string

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Version of Python that runs the app; the package must be built for it.')
@allowed([
  '3.11'
  '3.12'
  '3.13'
])
param pythonVersion string

@description('Resource id of the identity that the app acts as.')
param identityId string

@description('Container that holds the package, as an address.')
param deploymentContainerUrl string

@description('Subnet that the app joins: all it sends leaves through it.')
param appSubnetId string

@description('Disabled closes the public endpoint; a private endpoint then serves callers.')
@allowed([
  'Disabled'
  'Enabled'
])
param publicNetworkAccess string = 'Disabled'

@description('Addresses that may call the app and deploy to it: { name, from, to, cidr? }.')
param allowedIpRanges array

@description('Ceiling of instances of each function group; times the pool size it bounds the connections to PostgreSQL.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int

@description('Memory of an instance in MB.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int

@description('Groups that never go cold: { name, instanceCount }.')
param alwaysReady array

@description('True spreads instances over zones.')
param zoneRedundant bool

@description('Application settings by name; values that are secret are references to the vault.')
param appSettings object

@description('Log Analytics workspace that takes the logs.')
param logAnalyticsId string

@description('Storage account that archives the logs.')
param logArchiveId string

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  // checkov:skip=CKV_AZURE_225:By parameter: on in prod, and dev can be lost.
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

// The tag is how azd finds the app that a service of azure.yaml means.
resource app 'Microsoft.Web/sites@2024-04-01' = {
  // checkov:skip=CKV_AZURE_17:Callers prove themselves by Entra tokens; a client certificate would prove nothing more.
  // checkov:skip=CKV_AZURE_78:Flex Consumption has no FTP and refuses the setting; its publishing profile is off below.
  // checkov:skip=CKV_AZURE_212:Flex Consumption scales from zero; alwaysReady keeps instances where an environment wants them.
  // checkov:skip=CKV_AZURE_213:Flex Consumption has no health check; a silent timer raises the alert missing-heartbeats.
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'functions' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientAffinityEnabled: false
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: appSubnetId
    publicNetworkAccess: publicNetworkAccess
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: instanceMemoryMB
        alwaysReady: alwaysReady
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      ipSecurityRestrictionsDefaultAction: 'Deny'
      scmIpSecurityRestrictionsUseMain: true
      ipSecurityRestrictions: [for (entry, i) in allowedIpRanges: {
        name: entry.name
        action: 'Allow'
        priority: 100 + i
        ipAddress: entry.?cidr ?? '${entry.from}/32'
      }]
    }
  }
}

resource settings 'Microsoft.Web/sites/config@2024-04-01' = {
  // checkov:skip=CKV_AZURE_13:These are application settings, not the web configuration that the check means.
  // checkov:skip=CKV_AZURE_63:These are application settings, not the web configuration that the check means.
  // checkov:skip=CKV_AZURE_65:These are application settings, not the web configuration that the check means.
  // checkov:skip=CKV_AZURE_66:These are application settings, not the web configuration that the check means.
  // checkov:skip=CKV_AZURE_80:These are application settings, not the web configuration that the check means.
  // checkov:skip=CKV_AZURE_88:These are application settings, not the web configuration that the check means.
  // checkov:skip=CKV_AZURE_222:These are application settings, not the web configuration that the check means.
  parent: app
  name: 'appsettings'
  properties: appSettings
}

// A password for deploying would be one more secret; deployments carry a token.
resource scmCredentials 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

resource ftpCredentials 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: app
  name: 'to-log-analytics-and-blob'
  properties: {
    workspaceId: logAnalyticsId
    storageAccountId: logArchiveId
    logs: [
      {
        category: 'FunctionAppLogs'
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

@description('Resource id of the app.')
output id string = app.id

@description('Name of the app.')
output name string = app.name

@description('Address of the app, without a closing slash.')
output url string = 'https://${app.properties.defaultHostName}'
