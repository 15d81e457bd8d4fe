@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the action group.')
param actionGroupName string

@description('Addresses that are told; none leaves the alerts in the portal alone.')
param emails array

@description('Log Analytics workspace that the rules ask.')
param workspaceId string

@description('False keeps every rule but silences it, for an environment that nobody watches.')
param enabled bool

var rules = loadJsonContent('../monitoring/alerts.json')

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'tributary'
    emailReceivers: [for (email, i) in emails: {
      name: 'email-${i}'
      emailAddress: email
      useCommonAlertSchema: true
    }]
  }
}

resource alertRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: 'alert-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: rule.displayName
    description: rule.description
    enabled: enabled
    severity: rule.severity
    scopes: [
      workspaceId
    ]
    evaluationFrequency: rule.every
    windowSize: rule.over
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [
        actionGroup.id
      ]
    }
  }
}]
