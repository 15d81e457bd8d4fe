@description('Object id of the app\'s identity.')
param appPrincipalId string

@description('Object id of the factory\'s identity.')
param dataFactoryPrincipalId string

@description('Name of the storage account.')
param storageAccountName string

@description('Container that submissions are written to.')
param submissionsContainer string

@description('Container of backups and of what was archived.')
param archiveContainer string

@description('Name of the vault.')
param keyVaultName string

@description('Name of the Application Insights component.')
param applicationInsightsName string

@description('Name of the factory.')
param dataFactoryName string

@description('True lets the app read what its resource group costs.')
param readCosts bool

// Every role that anything here holds. `scope` is the narrowest that the role is needed on.
var assignments = [
  {
    principalId: appPrincipalId
    scope: 'storage'
    role: 'Storage Blob Data Owner'
    roleId: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
    reason: 'The host keeps its timers and its leases in containers that it creates, and reads the package.'
  }
  {
    principalId: appPrincipalId
    scope: 'storage'
    role: 'Storage Queue Data Contributor'
    roleId: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
    reason: 'Sends, receives and deletes messages, and reads how many wait.'
  }
  {
    principalId: appPrincipalId
    scope: 'storage'
    role: 'Storage Table Data Contributor'
    roleId: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
    reason: 'Writes the execution log and heartbeats.'
  }
  {
    principalId: appPrincipalId
    scope: 'vault'
    role: 'Key Vault Secrets Officer'
    roleId: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
    reason: 'Writes the credentials that are registered with a connector, besides reading them.'
  }
  {
    principalId: appPrincipalId
    scope: 'insights'
    role: 'Monitoring Metrics Publisher'
    roleId: '3913510d-42f4-4e42-8a64-420c390055eb'
    reason: 'Sends telemetry with its own token, local authentication being off.'
  }
  {
    principalId: appPrincipalId
    scope: 'factory'
    role: 'Data Factory Contributor'
    roleId: '673868aa-7521-48a0-acc6-0f60742d39f5'
    reason: 'Starts pipelines and follows their runs; no narrower built-in role may start one.'
  }
  {
    principalId: dataFactoryPrincipalId
    scope: 'submissions'
    role: 'Storage Blob Data Contributor'
    roleId: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
    reason: 'Reads submissions, and deletes them once archived.'
  }
  {
    principalId: dataFactoryPrincipalId
    scope: 'archive'
    role: 'Storage Blob Data Contributor'
    roleId: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
    reason: 'Writes backups and archived submissions.'
  }
  {
    principalId: dataFactoryPrincipalId
    scope: 'vault'
    role: 'Key Vault Secrets User'
    roleId: '4633458b-17de-408a-b874-0445c86b69e6'
    reason: 'Reads the password of a source that a bulk copy names.'
  }
]

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageAccountName
}

resource blobService 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' existing = {
  parent: storage
  name: 'default'
}

resource submissions 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' existing = {
  parent: blobService
  name: submissionsContainer
}

resource archive 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' existing = {
  parent: blobService
  name: archiveContainer
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: keyVaultName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource factory 'Microsoft.DataFactory/factories@2018-06-01' existing = {
  name: dataFactoryName
}

// A scope must be named in the source, so each kind has its loop; what is assigned stands in the table alone.
// The scope's word is part of a name, since Azure holds the names of what a condition leaves out against the others.
resource onStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for assignment in assignments: if (assignment.scope == 'storage') {
  scope: storage
  name: guid(storage.id, assignment.principalId, assignment.roleId, assignment.scope)
  properties: {
    principalId: assignment.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', assignment.roleId)
    description: assignment.reason
  }
}]

resource onSubmissions 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for assignment in assignments: if (assignment.scope == 'submissions') {
  scope: submissions
  name: guid(submissions.id, assignment.principalId, assignment.roleId, assignment.scope)
  properties: {
    principalId: assignment.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', assignment.roleId)
    description: assignment.reason
  }
}]

resource onArchive 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for assignment in assignments: if (assignment.scope == 'archive') {
  scope: archive
  name: guid(archive.id, assignment.principalId, assignment.roleId, assignment.scope)
  properties: {
    principalId: assignment.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', assignment.roleId)
    description: assignment.reason
  }
}]

resource onVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for assignment in assignments: if (assignment.scope == 'vault') {
  scope: vault
  name: guid(vault.id, assignment.principalId, assignment.roleId, assignment.scope)
  properties: {
    principalId: assignment.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', assignment.roleId)
    description: assignment.reason
  }
}]

resource onInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for assignment in assignments: if (assignment.scope == 'insights') {
  scope: insights
  name: guid(insights.id, assignment.principalId, assignment.roleId, assignment.scope)
  properties: {
    principalId: assignment.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', assignment.roleId)
    description: assignment.reason
  }
}]

resource onFactory 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for assignment in assignments: if (assignment.scope == 'factory') {
  scope: factory
  name: guid(factory.id, assignment.principalId, assignment.roleId, assignment.scope)
  properties: {
    principalId: assignment.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', assignment.roleId)
    description: assignment.reason
  }
}]

// Cost Management Reader, on this resource group and nothing above it.
resource onGroup 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (readCosts) {
  name: guid(resourceGroup().id, appPrincipalId, '72fafb9e-0641-4937-9268-a91bfd8191a3')
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '72fafb9e-0641-4937-9268-a91bfd8191a3')
    description: 'Shows what the resource group costs beside what it did.'
  }
}
