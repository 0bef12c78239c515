"""The container service of OpenStack. The folders and the import rule: CONTRIBUTING.md."""
