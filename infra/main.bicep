targetScope = 'resourceGroup'

// Parameters and modules follow. The outputs below are what infra/deploy.sh and a person read; their names are stable.
//
// functionAppName, functionAppUrl, functionAppScmUrl     string
// deploymentContainerUrl, storageAccountName             string   where the package goes
// submissionsContainer, archiveContainer                 string
// identityName, identityClientId, identityPrincipalId    string   user-assigned identity of the app; its name is also its PostgreSQL role
// keyVaultName, keyVaultUrl                              string
// postgresServerName, postgresHost, postgresDatabase     string
// postgresPort                                           int      of PgBouncer (6432); migrations and role creation use 5432
// postgresAdministratorName                              string   Entra principal that may create the roles
// sqlServerName, sqlServerHost, sqlDatabase              string   Azure SQL for submissions and reports
// dataFactoryName, dataFactoryPrincipalId                string   the factory's name is also its role in PostgreSQL and user in Azure SQL
// dataFactoryMonitoringUrl                               string
// dataFactoryTriggers                                    array    names, to be stopped before and started after a deployment
// dataFactoryPrivateEndpoints                            array    [{ name, resourceId, groupId }] whose connections a person or deploy.sh approves once
// logAnalyticsName, logAnalyticsWorkspaceId              string   workspaceId is the GUID that `az monitor log-analytics query` takes
// applicationInsightsName, workbookUrl                   string
// outboundIpAddress                                      string   the one address the app calls connectors from
// resourceGroupName, location, environmentName           string
// publicNetworkAccess                                    bool     false: deploy from inside the network
//
// Parameters that infra/deploy.sh passes on top of infra/parameters/{dev,prod}.parameters.json:
//   databaseAdministratorObjectId, databaseAdministratorName, databaseAdministratorType (User|Group|ServicePrincipal),
//   entraAudience, allowedIpRanges (array of { name, from, to })
