"""The Azure CLI as far as our scripts and documents use it: its own command table, and a stand-in that holds to it."""
