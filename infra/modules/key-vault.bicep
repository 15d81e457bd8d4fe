@description('Name of the vault.')
param name string

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Disabled closes the public endpoint; private endpoints then serve the app.')
@allowed([
  'Disabled'
  'Enabled'
])
param publicNetworkAccess string = 'Disabled'

@description('Addresses that may use the public endpoint: { name, from, to, cidr? }.')
param allowedIpRanges array

@description('Subnet of the app, admitted by its service endpoint.')
param appSubnetId string

@description('Log Analytics workspace that takes the logs.')
param logAnalyticsId string

@description('Storage account that archives the logs.')
param logArchiveId string

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    enabledForDeployment: false
    enabledForDiskEncryption: false
    enabledForTemplateDeployment: false
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      defaultAction: 'Deny'
      bypass: 'AzureServices'
      ipRules: [for entry in allowedIpRanges: {
        value: entry.?cidr ?? (entry.from)
      }]
      virtualNetworkRules: [
        {
          id: appSubnetId
        }
      ]
    }
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'to-log-analytics-and-blob'
  properties: {
    workspaceId: logAnalyticsId
    storageAccountId: logArchiveId
    logs: [
      {
        categoryGroup: 'audit'
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

@description('Resource id of the vault.')
output id string = vault.id

@description('Name of the vault.')
output name string = vault.name

@description('Address of the vault, with its closing slash.')
output url string = vault.properties.vaultUri
