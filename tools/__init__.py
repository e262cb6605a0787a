"""The programs Switchyard runs on, built from pinned Go modules, and the folders they are kept in."""
