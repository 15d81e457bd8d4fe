"""Stand-ins for what of Azure cannot run on this machine, each with the real service's refusals. Loopback only.

`directory` is Entra ID, `identity` the endpoint that gives an app its tokens, `key_vault` and `management` (Data
Factory) services that check them. The product's own code and Azure's own SDKs talk to them over HTTP.
"""
