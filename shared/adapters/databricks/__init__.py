"""A Databricks workspace as `shared.sharing` wants it; databricks-sdk lives behind this package alone.

    hosts       which addresses may be called at all
    names       which names may become part of a path
    wire        one call at a time: paced, checked, tried again where that is safe
    failures    what went wrong, as our errors
    reading, writing, pipelines     the SDK's shapes from and to the domain's
    workspace   the calls themselves

Importing anything but hosts and names costs a second: composition does so when the first workspace is opened.
"""
