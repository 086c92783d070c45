"""Sockets, connections, worker processes: how the application is started, served and stopped."""
