"""Data: sources and formats to conversations (`rows`), what the data is like (`audit`), what language it is in."""
