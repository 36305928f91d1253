"""README, CONTRIBUTING and docs/: commands, flags, links, tables, the site."""
