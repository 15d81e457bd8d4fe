"""Infrastructure: the local stack here, the Azure templates beside it."""
