targetScope = 'subscription'

metadata description = 'The resource group of one environment, and everything in it.'

@description('Name of the environment; part of every resource\'s name.')
@minLength(2)
@maxLength(5)
param environmentName string

@description('Azure region.')
param location string = deployment().location

@description('Name of the resource group.')
param resourceGroupName string = 'rg-tributary-${environmentName}'

@description('Object id of the Entra group, user or service principal that administers both databases.')
param databaseAdministratorObjectId string

@description('Name of that principal as Entra shows it.')
param databaseAdministratorName string

@description('What kind of principal it is.')
@allowed([
  'Group'
  'ServicePrincipal'
  'User'
])
param databaseAdministratorType string = 'Group'

@description('Audience of the tokens that the app accepts.')
param entraAudience string

@description('True takes everything off the public network.')
param privateNetworking bool = false

@description('Who may use the public endpoints while there are any: { name, from, to, cidr? }.')
param allowedIpRanges array = []

@description('One more address that may use the public endpoints, for tools that can hand on texts alone; empty: none.')
param allowedIpAddress string = ''

@description('Tags of every resource.')
param tags object = {}

var ownRange = [
  {
    name: 'deployer'
    from: allowedIpAddress
    to: allowedIpAddress
  }
]

// azd finds the group by its tag, infra/destroy.sh by the other two.
resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: resourceGroupName
  location: location
  tags: union(tags, { application: 'tributary', environment: environmentName, 'azd-env-name': environmentName })
}

module tributary 'main.bicep' = {
  name: 'tributary'
  scope: group
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    privateNetworking: privateNetworking
    allowedIpRanges: empty(allowedIpAddress) ? allowedIpRanges : concat(allowedIpRanges, ownRange)
    databaseAdministratorObjectId: databaseAdministratorObjectId
    databaseAdministratorName: databaseAdministratorName
    databaseAdministratorType: databaseAdministratorType
    entraAudience: entraAudience
  }
}

@description('Name of the resource group.')
output resourceGroupName string = group.name

@description('Name of the function app.')
output functionAppName string = tributary.outputs.functionAppName

@description('Address of the function app.')
output functionAppUrl string = tributary.outputs.functionAppUrl
